//! What every process gives up: new privileges, and core dumps, which would hold secrets and plaintext.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;

use super::protections::Protections;

/// Restricts the process. Core dumps end twice: the limit does not hold for a `core_pattern` that is a pipe. A process that is not
/// dumpable cannot be traced by processes of its user either.
pub(super) fn restrict(protections: &mut Protections) {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    protections.note("no new privileges", set_no_new_privs(true));
    protections.note("no core dumps", setrlimit(Resource::Core, none));
    let not_dumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    protections.note("not dumpable", not_dumpable);
}
