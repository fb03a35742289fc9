//! `audit verify` and `audit show` with input that is not an audit trail: foreign, empty, without line ends, incomplete, missing or
//! unreadable files.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::getuid;

use crate::harness::command::Ran;

#[test]
fn input_that_is_not_an_audit_trail_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let verify = |bytes: &[u8], options: &[&str]| {
        fs::write(&path, bytes).unwrap();
        on(&path, options)
    };
    let not_a_line = [
        "line 1: ",
        "not a line of an audit trail of schema version 1",
    ];
    for foreign in [
        "root:x:0:0:root:/root:/bin/sh\n".as_bytes(),
        b"{\"v\":2,\"seq\":1,\"time\":\"\"}\n",
        b"\xff\xfe\0\n",
        b"\n",
        &[vec![b'{'; 20 << 20], b"\n".to_vec()].concat(),
        &vec![b'{'; 20 << 20],
    ] {
        verify(foreign, &["verify"]).expect(1, &not_a_line);
        let shown = on(&path, &["show"]);
        let is_incomplete = !foreign.ends_with(b"\n") && foreign.len() < 16 << 20;
        shown.expect(i32::from(!is_incomplete), &["not of an audit trail"]);
    }
    verify(b"", &["verify"]).expect(1, &["nothing is proved"]);
    verify(b"incomplete", &["verify"]).expect(1, &["nothing is proved"]);
    verify(b"", &["show"]).expect(1, &["no audit log line in"]);
    for command in ["verify", "show"] {
        on(directory.path(), &[command]).expect(2, &["cannot read "]);
        on(&path.with_extension("absent"), &[command]).expect(2, &["absent: No such file"]);
    }
    on(&path, &["verify", "--hsm"]).expect(2, &["--config"]);
}

#[test]
fn an_unreadable_file_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("unreadable");
    fs::write(&path, "x\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let program = env!("CARGO_BIN_EXE_xks-proxy");
    // Root can read every file unless it drops these capabilities.
    let words = match getuid().is_root() {
        true => vec![
            "setpriv",
            "--bounding-set=-dac_override,-dac_read_search",
            program,
        ],
        false => vec![program],
    };
    for command in ["verify", "show"] {
        let mut run = Command::new(words[0]);
        run.args(&words[1..]).args(["audit", command]).arg(&path);
        let ran = Ran::from(run.output().unwrap());
        ran.expect(2, &["unreadable: Permission denied"]);
    }
}

fn on(path: &Path, arguments: &[&str]) -> Ran {
    let mut run = Command::new(env!("CARGO_BIN_EXE_xks-proxy"));
    run.arg("audit").args(arguments).arg(path);
    run.output().unwrap().into()
}
