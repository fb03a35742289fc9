//! Relays what a PKCS#11 library writes to standard output and standard error while a command uses it.
//!
//! # Invariants
//! - A library cannot flood the terminal or the memory: [`MAX_LINES`] lines of at most [`MAX_LINE`] bytes are printed; the others are counted.
//! - A library that writes without a pause does not delay the check of deadlines.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read};

/// Prints a line of the library of the named HSM.
pub type Print = fn(&str, &str);

/// The longest line, in bytes.
const MAX_LINE: usize = 512;

/// The most lines of one library.
const MAX_LINES: u32 = 100;

/// The most reads of 4 KiB each before other events are handled.
const READS_PER_TURN: usize = 32;

/// The output of one library.
pub(in crate::launcher) struct CommandOutput {
    hsm: String,
    /// The pipe; none when the output has ended.
    pipe: Option<OwnedFd>,
    print: Print,
    line: Vec<u8>,
    printed: u32,
    left_out: u64,
}

impl CommandOutput {
    /// Creates the relay for the output in `pipe`.
    ///
    /// # Errors
    /// When the pipe cannot be made non-blocking.
    pub(in crate::launcher) fn new(hsm: &str, pipe: OwnedFd, print: Print) -> io::Result<Self> {
        let flags = fcntl_getfl(&pipe)?;
        fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
        Ok(Self {
            hsm: hsm.to_owned(),
            pipe: Some(pipe),
            print,
            line: Vec::new(),
            printed: 0,
            left_out: 0,
        })
    }

    /// Returns the event to wait for; none when the output has ended.
    pub(in crate::launcher) fn event(&self) -> Option<PollFd<'_>> {
        let pipe = self.pipe.as_ref()?;
        Some(PollFd::new(pipe, PollFlags::IN))
    }

    /// Prints the lines that have arrived.
    pub(in crate::launcher) fn relay(&mut self) {
        let mut buffer = [0; 4_096];
        for _ in 0..READS_PER_TURN {
            let Some(pipe) = &self.pipe else {
                return;
            };
            match read(pipe, &mut buffer) {
                Ok(length @ 1..) => self.take(buffer.get(..length).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Ok(0) | Err(_) => self.pipe = None,
            }
        }
    }

    /// Prints the rest, and the number of lines that were left out.
    pub(in crate::launcher) fn end(&mut self) {
        self.relay();
        self.end_line();
        if self.left_out > 0 {
            let note = format!("{} more lines were left out", self.left_out);
            (self.print)(&self.hsm, &note);
            self.left_out = 0;
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.line.len() < MAX_LINE => self.line.push(*byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        match self.printed < MAX_LINES {
            true => {
                self.printed += 1;
                (self.print)(&self.hsm, text);
            }
            false => self.left_out += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Write as _;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    thread_local! {
        static PRINTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    fn note(hsm: &str, line: &str) {
        PRINTED.with_borrow_mut(|printed| printed.push(format!("{hsm}: {line}")));
    }

    #[test]
    fn lines_are_printed_with_the_name_and_within_their_limits() {
        let (pipe, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut output = CommandOutput::new("hsm-a", pipe, note).unwrap();
        let mut writer = std::fs::File::from(writer);
        writer.write_all(b"one\n\n  \ntwo").unwrap();
        output.relay();
        assert_eq!(PRINTED.take(), ["hsm-a: one"]);
        writer.write_all(b"!\n").unwrap();
        writer.write_all("x".repeat(10_000).as_bytes()).unwrap();
        writer.write_all("\ny".repeat(200).as_bytes()).unwrap();
        drop(writer);
        output.end();
        let printed = PRINTED.take();
        assert_eq!(printed[0], "hsm-a: two!");
        assert_eq!(printed[1].len(), "hsm-a: ".len() + MAX_LINE);
        let lines = usize::try_from(MAX_LINES).unwrap();
        assert_eq!(
            printed.len(),
            lines,
            "99 of these, one earlier line, and the note"
        );
        assert!(
            printed
                .last()
                .unwrap()
                .ends_with("103 more lines were left out")
        );
        assert!(output.event().is_none());
    }
}
