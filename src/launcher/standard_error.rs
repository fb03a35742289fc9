//! Lines on standard error: the launcher has no log of its own.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Writes a line.
pub(super) fn complain(what: &dyn Display) {
    // Without standard error there is nobody to tell.
    drop(writeln!(io::stderr(), "xks-proxy: {what}"));
}
