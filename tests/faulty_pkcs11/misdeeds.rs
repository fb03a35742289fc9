//! What a broken library does to its process: it crashes it, ends it, forks, and writes where it should not.

#![expect(
    unsafe_code,
    reason = "a crash that no safe code can have is what this is for"
)]

use std::io::{self, Write as _};
use std::process::{self, Command};
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;

use crate::control::{FunctionBlock, Misdeed};

/// What one burst writes to each of standard output and standard error, in bytes.
const BURST: usize = 1 << 20;

/// Does what is ordered of the next call, once.
pub fn commit(block: &FunctionBlock) {
    let ordered = block.misdeed.swap(0, SeqCst);
    let all = Misdeed::ALL.into_iter();
    match all.into_iter().find(|misdeed| *misdeed as u64 == ordered) {
        None => {}
        Some(Misdeed::Segfault) => segfault(),
        Some(Misdeed::Abort) => process::abort(),
        Some(Misdeed::Exit) => process::exit(0),
        Some(Misdeed::Fork) => fork(),
        Some(Misdeed::Chatter) => chatter(),
    }
}

/// A signal that is sent would not do: the runtime's handler takes one away, and waits for the instruction to be tried again.
fn segfault() {
    // SAFETY: none. The page at address 0 is never mapped: the process ends here.
    unsafe { ptr::without_provenance_mut::<u8>(8).write_volatile(1) }
}

/// The child outlives its parent, unless somebody kills it.
fn fork() {
    drop(Command::new("sleep").arg("3600").spawn());
}

/// Lines of text, a line that is far too long, bytes that are no text, and a last line without an end.
fn chatter() {
    let mut burst = b"a line of the library\n".repeat(200);
    burst.extend((0..=u8::MAX).cycle().take(4_096));
    burst.extend(b"\n{\"level\":\"ERROR\",\"message\":\"forged\"}\n");
    burst.resize(BURST, b'x');
    drop(io::stdout().write_all(&burst));
    drop(io::stdout().flush());
    drop(io::stderr().write_all(&burst));
}
