//! Error messages on standard error, which the front reads.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Writes an error message as one line.
pub(super) fn print_error(message: &dyn Display) {
    // If the front has ended, the message is lost.
    drop(writeln!(io::stderr(), "xks-proxy worker: {message}"));
}
