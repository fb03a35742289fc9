//! Capabilities: a process that runs as root has them, and with some it could look into other processes in spite of Landlock
//! (`CAP_PERFMON` opens `/proc/<pid>/environ`).

use rustix::io;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::protections::Protections;

/// A server reads files of several owners, and may bind port 443.
pub(super) const FRONT: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// A library may need others for its device, such as `CAP_SYS_RAWIO` and `CAP_IPC_LOCK`, but none of these.
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

/// Drops all capabilities but `kept`. Nothing regains them: the process gets no new privileges either.
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
