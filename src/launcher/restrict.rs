//! What a process that starts the others gives up: it may not gain privileges, and its environment, which may hold secrets, is in no core
//! dump. Its children inherit both.

use super::standard_error::complain;
use crate::sandbox;

/// Restricts the process. A protection that the system does not have is reported on standard error.
pub(super) fn restrict() {
    for missing in sandbox::Launcher.apply().missing() {
        let sandbox::Missing { protection, reason } = missing;
        complain(&format!("missing protection: {protection}: {reason}"));
    }
}
