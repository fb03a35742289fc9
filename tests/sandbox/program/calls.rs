//! Makes system calls with invalid arguments: each fails, and the error shows whether the filter or the kernel rejected it.
//!
//! The lists come from the requirements and not from the code, so that a call that is missing in the code's lists is found.

use crate::acts::{raw, show};

macro_rules! calls {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
}

/// Calls that fail in every sandbox.
pub const EVERYWHERE: &[(&str, i64)] = calls! {
    SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_kcmp SYS_pidfd_getfd
    SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_move_mount SYS_open_tree SYS_fsopen SYS_fsconfig SYS_fsmount SYS_fspick
    SYS_mount_setattr SYS_setns SYS_unshare
    SYS_kexec_load SYS_kexec_file_load SYS_bpf SYS_init_module SYS_finit_module SYS_delete_module
    SYS_keyctl SYS_add_key SYS_request_key
    SYS_userfaultfd SYS_perf_event_open SYS_reboot SYS_swapon SYS_swapoff
    SYS_open_by_handle_at SYS_acct SYS_quotactl SYS_quotactl_fd SYS_syslog SYS_sethostname SYS_setdomainname
    SYS_settimeofday SYS_clock_settime SYS_clock_adjtime SYS_adjtimex
    SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register
    SYS_fanotify_init
};

/// Calls that also fail in the front.
pub const FRONT: &[(&str, i64)] = calls! {
    SYS_execve SYS_execveat SYS_pidfd_open SYS_pidfd_send_signal SYS_move_pages SYS_migrate_pages
    SYS_shmat SYS_remap_file_pages SYS_setuid SYS_setgid SYS_setreuid SYS_setresuid SYS_setgroups SYS_capset
    SYS_fchown SYS_fchownat SYS_mknodat SYS_name_to_handle_at
};

#[cfg(target_arch = "x86_64")]
pub const HERE: &[(&str, i64)] = calls! { SYS_iopl SYS_ioperm };
#[cfg(not(target_arch = "x86_64"))]
pub const HERE: &[(&str, i64)] = &[];

/// Tries each call, and prints `everywhere NAME` or `front NAME` with the error.
pub fn try_all() {
    let lists = [
        ("everywhere", EVERYWHERE),
        ("everywhere", HERE),
        ("front", FRONT),
    ];
    for (place, calls) in lists {
        for (name, number) in calls {
            let wrong = -1_i64;
            // SAFETY: no argument is valid, so the call fails without an effect.
            let returned =
                unsafe { libc::syscall(*number, wrong, wrong, wrong, wrong, wrong, wrong) };
            println!("{place} {name}\t{}", show(raw(returned)));
        }
    }
}
