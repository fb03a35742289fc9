//! Restricts the process that starts the others: it cannot gain privileges, and it writes no core dump, which could contain secrets of its
//! environment. Its children inherit both.

use super::standard_error::print_error;
use crate::sandbox;

/// Restricts the process. A protection that the system does not have is reported on standard error.
pub(super) fn restrict() {
    for missing in sandbox::Launcher.apply().missing() {
        let sandbox::Missing { protection, reason } = missing;
        print_error(&format!("missing protection: {protection}: {reason}"));
    }
}
