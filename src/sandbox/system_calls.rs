//! The system calls that workers and the front do not need. Each group has its reason.

pub(super) mod filter;

use libc::{
    AF_INET, AF_INET6, AF_UNIX, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS,
    CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_THREAD, PROT_EXEC,
};
use libc::{SYS_clone, SYS_clone3, SYS_ioctl, SYS_prctl, SYS_socket};

use filter::Condition::{Has, Is, IsNot, Lacks};
use filter::{Call, Denied};

/// The same number on every architecture. Older libc crates do not define it.
const SYS_OPEN_TREE_ATTR: i64 = 467;

/// Calls that neither a worker nor the front needs.
#[rustfmt::skip]
const NEVER: &[i64] = &[
    // Memory and secrets of other processes.
    libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_kcmp, libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise, libc::SYS_perf_event_open, libc::SYS_userfaultfd,
    // Mounts and namespaces.
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_chroot, libc::SYS_move_mount, libc::SYS_open_tree,
    SYS_OPEN_TREE_ATTR, libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_fspick, libc::SYS_mount_setattr,
    libc::SYS_setns, libc::SYS_unshare,
    // Code in the kernel.
    libc::SYS_bpf, libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module, libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    // The kernel's keys.
    libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl,
    // The machine.
    libc::SYS_reboot, libc::SYS_swapon, libc::SYS_swapoff, libc::SYS_acct, libc::SYS_quotactl, libc::SYS_quotactl_fd,
    libc::SYS_syslog, libc::SYS_sethostname, libc::SYS_setdomainname, libc::SYS_vhangup, libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
    // The clock.
    libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_clock_adjtime, libc::SYS_adjtimex,
    // Ways around filters and permissions.
    libc::SYS_open_by_handle_at, libc::SYS_fanotify_init,
    libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register,
];

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const NEVER_HERE: &[i64] = &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_uselib];

#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[i64] = &[];

/// Further calls that the front does not need.
#[rustfmt::skip]
const NEVER_IN_FRONT: &[i64] = &[
    // Programs and other processes.
    libc::SYS_execve, libc::SYS_execveat, libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal,
    libc::SYS_process_mrelease, libc::SYS_move_pages, libc::SYS_migrate_pages,
    // Executable memory by other means: READ_IMPLIES_EXEC, SHM_EXEC.
    libc::SYS_personality, libc::SYS_shmat, libc::SYS_remap_file_pages,
    // Identities.
    libc::SYS_setuid, libc::SYS_setgid, libc::SYS_setreuid, libc::SYS_setregid, libc::SYS_setresuid, libc::SYS_setresgid,
    libc::SYS_setfsuid, libc::SYS_setfsgid, libc::SYS_setgroups, libc::SYS_capset,
    // Owners, devices, handles.
    libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_mknodat, libc::SYS_name_to_handle_at, libc::SYS_memfd_secret,
];

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const NEVER_IN_FRONT_HERE: &[i64] = &[
    libc::SYS_fork, libc::SYS_vfork, libc::SYS_chown, libc::SYS_lchown, libc::SYS_mknod, libc::SYS_modify_ldt,
];

#[cfg(not(target_arch = "x86_64"))]
const NEVER_IN_FRONT_HERE: &[i64] = &[];

/// Flags of `clone` that create a namespace.
const NAMESPACES: [i32; 7] = [
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
];

/// Returns the calls that fail in a worker.
pub(super) fn worker() -> Vec<Denied> {
    let clones = NAMESPACES.map(|bit| vec![Has(0, bit.unsigned_abs())]);
    let mut calls = always(&[NEVER, NEVER_HERE]);
    calls.extend(common());
    calls.push((SYS_clone, clones.into()));
    denied(calls)
}

/// Returns the calls that fail in the front.
pub(super) fn front() -> Vec<Denied> {
    let mut calls = always(&[NEVER, NEVER_HERE, NEVER_IN_FRONT, NEVER_IN_FRONT_HERE]);
    calls.extend(common());
    // `clone` may start threads, but no processes.
    calls.push((SYS_clone, vec![vec![Lacks(0, CLONE_THREAD.unsigned_abs())]]));
    calls.extend(executable_memory());
    let families = [AF_UNIX, AF_INET, AF_INET6].map(|family| IsNot(0, family.unsigned_abs()));
    calls.push((SYS_socket, vec![families.into()]));
    denied(calls)
}

/// Adds that `clone3` does not exist (`ENOSYS`). Its flags are in memory, which a filter cannot read; libraries then use `clone`.
fn denied(calls: Vec<Call>) -> Vec<Denied> {
    vec![
        Denied {
            errno: libc::ENOSYS,
            calls: always(&[&[SYS_clone3]]),
        },
        Denied {
            errno: libc::EPERM,
            calls,
        },
    ]
}

fn always(lists: &[&[i64]]) -> Vec<Call> {
    let calls = lists.iter().flat_map(|list| list.iter());
    calls.map(|call| (*call, Vec::new())).collect()
}

/// Calls that fail in every sandbox for some arguments only.
fn common() -> [Call; 2] {
    /// `TIOCSTI` and `TIOCLINUX`: fake input for a terminal, and commands to the console.
    const TERMINAL: [u32; 2] = [0x5412, 0x541C];
    let dumpable = libc::PR_SET_DUMPABLE.unsigned_abs();
    [
        (
            SYS_ioctl,
            TERMINAL.map(|request| vec![Is(1, request)]).into(),
        ),
        (SYS_prctl, vec![vec![Is(0, dumpable), IsNot(1, 0)]]),
    ]
}

/// Calls that make memory executable; also mappings of files, because the process may have written the file.
fn executable_memory() -> [Call; 3] {
    let executable = vec![vec![Has(2, PROT_EXEC.unsigned_abs())]];
    [
        (libc::SYS_mmap, executable.clone()),
        (libc::SYS_mprotect, executable.clone()),
        (libc::SYS_pkey_mprotect, executable),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls that the kernel forbids to a process without capabilities, so that `tests/sandbox` cannot test the filter.
    #[rustfmt::skip]
    const PRIVILEGED: [i64; 22] = [
        libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_chroot, libc::SYS_move_mount, libc::SYS_open_tree,
        libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_fspick, libc::SYS_mount_setattr, libc::SYS_reboot,
        libc::SYS_swapon, libc::SYS_swapoff, libc::SYS_acct, libc::SYS_syslog, libc::SYS_sethostname, libc::SYS_setdomainname,
        libc::SYS_vhangup, libc::SYS_fanotify_init, libc::SYS_process_madvise, libc::SYS_kexec_load,
    ];

    /// Calls with effects that a test must not cause, or that fail for another reason before the filter applies.
    #[rustfmt::skip]
    const IN_FRONT: [i64; 9] = [
        libc::SYS_personality, libc::SYS_memfd_secret, libc::SYS_process_mrelease, libc::SYS_setfsuid, libc::SYS_setfsgid,
        libc::SYS_setregid, libc::SYS_setresgid, libc::SYS_setgroups, libc::SYS_execveat,
    ];

    fn always_fails(denied: &[Denied], call: i64) -> bool {
        let eperm = denied.iter().filter(|denied| denied.errno == libc::EPERM);
        let mut calls = eperm.flat_map(|denied| &denied.calls);
        calls.any(|(number, rules)| *number == call && rules.is_empty())
    }

    #[test]
    fn privileged_calls_fail_everywhere() {
        for call in PRIVILEGED {
            assert!(always_fails(&worker(), call), "{call} in a worker");
            assert!(always_fails(&front(), call), "{call} in the front");
        }
    }

    #[test]
    fn the_front_denies_more_than_a_worker() {
        for call in IN_FRONT {
            assert!(always_fails(&front(), call), "{call} in the front");
            assert!(!always_fails(&worker(), call), "{call} in a worker");
        }
        #[cfg(target_arch = "x86_64")]
        for call in [libc::SYS_fork, libc::SYS_vfork, libc::SYS_chown] {
            assert!(always_fails(&front(), call), "{call} in the front");
        }
    }

    #[test]
    fn no_call_is_listed_twice() {
        // The later entry would replace the earlier one, and could weaken it.
        for denied in worker().iter().chain(&front()) {
            let mut numbers: Vec<_> = denied.calls.iter().map(|(number, _)| number).collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count);
        }
    }
}
