//! Lines on standard error, which the front reads.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Writes a line.
pub(super) fn complain(what: &dyn Display) {
    // Without the front there is nobody to tell.
    drop(writeln!(io::stderr(), "xks-proxy worker: {what}"));
}
