//! A terminal for commands that behave differently on one.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::harness::command::Ran;

/// Returns the output of a command on its terminal, and the terminal for its standard output. The output ends with the error EIO
/// when the last process closes the terminal.
pub fn terminal() -> (File, Stdio) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let output = openpt(flags).unwrap();
    grantpt(&output).unwrap();
    unlockpt(&output).unwrap();
    let name = ptsname(&output, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = open(name, flags, Mode::empty()).unwrap();
    (output.into(), terminal.into())
}

/// Runs the real binary until it ends, with a terminal as standard output. Standard error is not a terminal.
pub fn run_on_terminal(arguments: &[&str]) -> Ran {
    let (mut output, terminal) = terminal();
    let child = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(arguments)
        .stdout(terminal)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = Vec::new();
    // The error is EIO, the end of the output.
    drop(output.read_to_end(&mut printed));
    let mut ran = child.wait_with_output().unwrap();
    ran.stdout = printed;
    let ran = Ran::from(ran);
    Ran {
        stdout: ran.stdout.replace("\r\n", "\n"),
        ..ran
    }
}
