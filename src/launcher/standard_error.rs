//! Error messages on standard error: the launcher has no log.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Writes an error message as one line.
pub(super) fn print_error(message: &dyn Display) {
    // If standard error is closed, the message is lost.
    drop(writeln!(io::stderr(), "xks-proxy: {message}"));
}
