//! Drops capabilities, which a process has if it runs as root. Some of them give access to other processes in spite of Landlock: with
//! `CAP_PERFMON` a process can read `/proc/<pid>/environ`.

use rustix::io;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::protections::Protections;

/// The capabilities of the front: to read files of several owners, and to bind port 443.
pub(super) const FRONT: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// The capabilities of a worker: all except for these. A library may need others for its HSM, such as `CAP_SYS_RAWIO` and `CAP_IPC_LOCK`.
pub(super) const WORKER: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::CHECKPOINT_RESTORE)
    .union(CapabilitySet::SYS_MODULE)
    .union(CapabilitySet::SYS_BOOT)
    .union(CapabilitySet::SYS_TIME)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::SYSLOG)
    .union(CapabilitySet::MAC_ADMIN)
    .union(CapabilitySet::MAC_OVERRIDE)
    .union(CapabilitySet::SETFCAP)
    .complement();

/// Drops all capabilities except for `kept`. The process cannot regain them, because it cannot gain privileges.
pub(super) fn keep(kept: CapabilitySet, protections: &mut Protections) {
    protections.note("no needless capabilities", restrict(kept));
}

fn restrict(kept: CapabilitySet) -> io::Result<()> {
    let now = capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: now.effective.intersection(kept),
            permitted: now.permitted.intersection(kept),
            inheritable: now.inheritable.intersection(kept),
        },
    )
}
