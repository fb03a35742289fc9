//! System calls, threads, and kernels that lack a protection.

use crate::harness::{Place, denied, run};
use crate::strings;

/// Bit of `CAP_SYS_ADMIN` in `CapEff`.
const CAP_SYS_ADMIN: u64 = 1 << 21;

#[test]
fn the_listed_system_calls_fail_with_eperm() {
    let acts = strings!["calls"; "status:CapEff"];
    let free = run("none", &[], acts);
    let capabilities = u64::from_str_radix(free.of(&acts[1]), 16).unwrap();
    // Without privileges, the kernel forbids many calls itself.
    if capabilities & CAP_SYS_ADMIN != 0 {
        for start in ["everywhere ", "front "] {
            for (call, outcome) in free.beginning(start) {
                assert_ne!(outcome, "EPERM", "{call} without a sandbox");
            }
        }
    }
    let (worker, front) = (run("worker", &[], acts), run("front", &[], acts));
    assert!(worker.beginning("everywhere ").count() > 40);
    for (call, outcome) in worker.beginning("everywhere ") {
        assert_eq!(outcome, "EPERM", "{call} in a worker");
    }
    for (call, outcome) in front
        .beginning("everywhere ")
        .chain(front.beginning("front "))
    {
        assert_eq!(outcome, "EPERM", "{call} in the front");
    }
}

#[test]
fn clone_cannot_create_a_namespace() {
    let acts = strings!["new-user-namespace"; "clone3"];
    let free = run("none", &[], acts);
    // Some systems forbid user namespaces.
    let is_possible = free.of(&acts[0]) == "ok";
    assert_ne!(free.of(&acts[1]), "ENOSYS");
    for sandbox in ["worker", "front"] {
        let report = run(sandbox, &[], acts);
        assert!(!is_possible || report.of(&acts[0]) == "EPERM", "{sandbox}");
        assert_eq!(report.of(&acts[1]), "ENOSYS", "{sandbox}");
    }
}

#[test]
fn input_cannot_be_injected_into_a_terminal() {
    let acts = strings!["type-into-terminal"];
    assert_ne!(run("none", &[], acts).of(&acts[0]), "EPERM");
    for sandbox in ["worker", "front"] {
        assert_eq!(run(sandbox, &[], acts).of(&acts[0]), "EPERM", "{sandbox}");
    }
}

#[test]
fn all_protections_are_active_here() {
    for (sandbox, count) in [("launcher", 3), ("worker", 9), ("front", 9)] {
        let report = run(sandbox, &[], &[]);
        assert_eq!(report.all("missing"), Vec::<&str>::new(), "{sandbox}");
        assert_eq!(report.all("active").len(), count, "{sandbox}");
    }
}

#[test]
fn a_kernel_without_a_protection_causes_a_warning_and_keeps_the_others() {
    let place = Place::new();
    let outside = place.file("file");
    let acts = strings!["write:{outside}"; "clone3"];
    for sandbox in ["worker", "front"] {
        let report = run(sandbox, strings!["kernel-without=landlock"], acts);
        let missing = report.all("missing");
        assert!(missing[0].contains("the kernel has 0"), "{missing:?}");
        assert_eq!(report.of(&acts[0]), "ok", "{sandbox}");
        assert_eq!(report.of(&acts[1]), "ENOSYS", "{sandbox}");

        let report = run(sandbox, strings!["kernel-without=seccomp"], acts);
        let missing = report.all("missing");
        assert!(missing[0].contains("system call filter"), "{missing:?}");
        assert_eq!(missing.len(), 1);
        assert_eq!(report.of(&acts[0]), "EACCES", "{sandbox}");
        assert_ne!(report.of(&acts[1]), "ENOSYS", "{sandbox}");
    }
}

#[test]
fn a_library_is_not_loaded_in_a_process_with_threads() {
    let report = run("worker", strings!["threads=2"], &[]);
    let error = report.of("error");
    assert!(error.contains("has 3 threads"), "{error}");
}

/// A mistake that prevents Landlock does not prevent other protections.
#[test]
fn the_front_has_its_other_protections_when_files_cannot_be_restricted() {
    let place = Place::new();
    let (outside, gone) = (place.file("file"), place.path("gone"));
    let mistakes = [
        (format!("writable={gone}"), gone.as_str()),
        ("threads=2".to_owned(), "has 3 threads"),
    ];
    let acts = strings!["write:{outside}"; "clone3"; "map-executable"];
    for (mistake, reason) in mistakes {
        let report = run("front", &[mistake], acts);
        let missing = report.all("missing");
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(missing[0].starts_with("file access: "), "{missing:?}");
        assert!(missing[0].contains(reason), "{missing:?}");
        assert_eq!(report.of("mistake"), "true");
        assert_eq!(report.of(&acts[0]), "ok");
        assert_eq!(report.of(&acts[1]), "ENOSYS");
        assert_eq!(report.of(&acts[2]), "EPERM");
        let active = report.all("active");
        for protection in [
            "system call filter",
            "no needless capabilities",
            "not dumpable",
        ] {
            assert!(active.contains(&protection), "{active:?}");
        }
    }
}

#[test]
fn the_program_reports_actions_that_work() {
    let place = Place::new();
    let file = place.file("file");
    let acts = strings!["read:{file}"];
    assert_eq!(denied("worker", &[], acts).of(&acts[0]), "ok");
}
