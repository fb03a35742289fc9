//! Harm that a broken library does to its process: crashes, exits, child processes, and writes to standard output.

#![expect(unsafe_code, reason = "causes a segmentation fault")]

use std::io::{self, Write as _};
use std::process::{self, Command};
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;

use crate::control::{FunctionBlock, Misdeed};

/// The number of bytes that are written to standard output, and to standard error.
const BURST: usize = 1 << 20;

/// Does the requested harm, once.
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

/// Causes a real fault. Sending SIGSEGV is not sufficient, because Rust's handler returns after the first signal.
fn segfault() {
    // SAFETY: not safe, on purpose. The page at address 0 is never mapped, so the process ends here.
    unsafe { ptr::without_provenance_mut::<u8>(8).write_volatile(1) }
}

/// Starts a child that outlives its parent unless it is killed.
fn fork() {
    drop(Command::new("sleep").arg("3600").spawn());
}

/// Writes lines of text, a very long line, bytes that are not text, and a last line without an end.
fn chatter() {
    let mut burst = b"a line of the library\n".repeat(200);
    burst.extend((0..=u8::MAX).cycle().take(4_096));
    burst.extend(b"\n{\"level\":\"ERROR\",\"message\":\"forged\"}\n");
    burst.resize(BURST, b'x');
    drop(io::stdout().write_all(&burst));
    drop(io::stdout().flush());
    drop(io::stderr().write_all(&burst));
}
