//! Simulates an older kernel, and a process that already has threads.

use std::sync::mpsc::channel;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// Makes the system calls of a feature fail as on a kernel that does not have it.
pub fn remove(feature: &str) {
    let call = match feature {
        "landlock" => libc::SYS_landlock_create_ruleset,
        "seccomp" => libc::SYS_seccomp,
        _ => panic!("unknown feature {feature}"),
    };
    let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let rules = [(call, Vec::new())].into();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, architecture).unwrap();
    apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

/// Starts threads that never end.
pub fn start_threads(count: usize) {
    let (ready, started) = channel::<()>();
    for _ in 0..count {
        let ready = ready.clone();
        std::thread::spawn(move || {
            drop(ready);
            loop {
                std::thread::park();
            }
        });
    }
    drop(ready);
    // Ends when every thread has dropped its sender.
    assert!(started.recv().is_err());
}
