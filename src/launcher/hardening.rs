//! No core dumps: the environment of the launcher may hold secrets. The limit is inherited by all processes that it starts.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use super::complain::complain;

/// Switches core dumps off. A system that does not allow that is reported on standard error.
pub(super) fn forbid_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        complain(&format!("core dumps could not be limited: {error}"));
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        complain(&format!("core dumps could not be forbidden: {error}"));
    }
}
