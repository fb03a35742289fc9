//! The sandbox of a worker: actions that must fail, and actions that a library needs.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;

use crate::harness::{Place, denied, run};
use crate::strings;

#[test]
fn only_writable_paths_can_be_written() {
    let place = Place::new();
    let (outside, file) = (place.file("outside/file"), place.file("single"));
    let [linked, moved] = ["outside/linked", "outside/moved"].map(|name| place.file(name));
    let inside = place.file("tokens/file");
    let tokens = place.path("tokens");
    let options = strings!["writable={tokens}"; "writable={file}"];
    let acts = strings![
        "write:{outside}"; "truncate:{outside}"; "write:{outside}.new"; "make-directory:{outside}.d"; "link:{linked}|{tokens}/linked";
        "rename:{moved}|{tokens}/moved"
    ];
    let report = denied("worker", options, &acts[..2]);
    for act in &acts[..2] {
        assert_eq!(report.of(act), "EACCES", "{act}");
    }
    let report = run("worker", options, &acts[2..]);
    for act in &acts[2..] {
        let outcome = report.of(act);
        assert!(matches!(outcome, "EACCES" | "EXDEV"), "{act}: {outcome}");
    }
    let free = run("none", &[], &acts[2..]);
    for act in &acts[2..] {
        assert_eq!(free.of(act), "ok", "{act} without a sandbox");
    }
    let acts = strings![
        "read:{outside}.new"; "write:{file}"; "write:{inside}"; "truncate:{inside}"; "write:{inside}.new"; "make-directory:{tokens}/d";
        "rename:{inside}|{tokens}/d/moved"; "remove:{tokens}/d/moved"; "write:/dev/null"
    ];
    let report = run("worker", options, acts);
    for act in acts {
        assert_eq!(report.of(act), "ok", "{act}");
    }
}

#[test]
fn a_writable_path_that_does_not_exist_is_an_error_that_names_it() {
    let place = Place::new();
    let missing = place.path("missing");
    let report = run(
        "worker",
        strings!["writable={missing}"],
        strings!["status:"],
    );
    assert!(
        report.of("error").contains(&missing),
        "{}",
        report.of("error")
    );
}

#[test]
fn secrets_of_the_front_cannot_be_read() {
    let place = Place::new();
    let (key, conf) = (place.file("etc/tls.key"), place.file("etc/library.conf"));
    let other = place.file("lib/data");
    let options = strings!["unreadable={key}"; "readable={conf}"];
    let acts = strings!["read:{key}"];
    assert_eq!(denied("worker", options, acts).of(&acts[0]), "EACCES");
    let acts = strings!["read:{conf}"; "read:{other}"; "read:/etc/passwd"; "spawn:/bin/true"];
    let report = run("worker", options, acts);
    for act in acts {
        assert_eq!(report.of(act), "ok", "{act}");
    }
}

#[test]
fn other_processes_cannot_be_traced_or_signalled() {
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = other.id();
    let name = format!("xks-proxy-test-{pid}");
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let acts = strings!["trace:{pid}"; "read:/proc/{pid}/environ"; "signal:{pid}"; "connect-abstract:{name}"];
    let reports = ["worker", "front"].map(|sandbox| denied(sandbox, &[], acts));
    other.kill().unwrap();
    other.wait().unwrap();
    for report in reports {
        for act in acts {
            let outcome = report.of(act);
            assert!(matches!(outcome, "EPERM" | "EACCES"), "{act}: {outcome}");
        }
    }
}

#[test]
fn no_listener_on_a_chosen_port_but_connections_and_ephemeral_ports() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let chosen = free.local_addr().unwrap();
    drop(free);
    let acts = strings!["listen:{chosen}"];
    assert_eq!(denied("worker", &[], acts).of(&acts[0]), "EACCES");
    let acts = strings!["connect:{target}"; "listen:127.0.0.1:0"];
    let report = run("worker", &[], acts);
    assert_eq!(report.of(&acts[0]), "ok");
    assert_eq!(report.of(&acts[1]), "ok");
}

#[test]
fn a_library_may_compile_fork_and_start_helpers() {
    let acts = strings![
        "map-writable-executable"; "make-executable"; "fork"; "thread"; "spawn:/bin/true"; "load:libm.so.6"; "socket:16"
    ];
    let report = run("worker", &[], acts);
    for act in acts {
        assert_eq!(report.of(act), "ok", "{act}");
    }
}

#[test]
fn privileges_and_core_dumps_are_gone_in_every_process() {
    let acts = strings!["status:NoNewPrivs"; "core-limit"; "is-dumpable"];
    let free = run("none", &[], acts);
    assert_eq!((free.of(&acts[0]), free.of(&acts[2])), ("0", "true"));
    for sandbox in ["launcher", "worker", "front"] {
        let report = run(sandbox, &[], acts);
        assert_eq!(report.of(&acts[0]), "1", "{sandbox}");
        let none = "Rlimit { current: Some(0), maximum: Some(0) }";
        assert_eq!(report.of(&acts[1]), none, "{sandbox}");
        assert_eq!(report.of(&acts[2]), "false", "{sandbox}");
    }
    let acts = strings!["make-dumpable"; "is-dumpable"];
    for sandbox in ["worker", "front"] {
        let report = denied_first(sandbox, acts);
        assert_eq!(report, ["EPERM".to_owned(), "false".to_owned()]);
    }
}

fn denied_first(sandbox: &str, acts: &[String]) -> Vec<String> {
    assert_eq!(run("none", &[], acts).of(&acts[0]), "ok");
    let report = run(sandbox, &[], acts);
    acts.iter().map(|act| report.of(act).to_owned()).collect()
}
