//! The restrictions of every process: no new privileges, and no core dumps, which would contain secrets and plaintext.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;

use super::protections::Protections;

/// Restricts the process. Core dumps are disabled in two ways, because the limit has no effect if `core_pattern` is a pipe. A process that is
/// not dumpable also cannot be traced by other processes of its user.
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
