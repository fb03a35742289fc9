//! `audit show` and `audit verify` with compressed files and streams: the result is that of plain files, and unreadable input is an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::harness::command::{Ran, run, run_with};
use crate::harness::trail::Trail;
use crate::harness::{PAYMENTS, Proxy};

/// Returns the audit trail of a stopped proxy, in several files.
fn written() -> (Proxy, Trail) {
    let mut trail = None;
    let mut proxy =
        Proxy::start_with(|setup| trail = Some(setup.audit("rotate = { size = \"4KiB\" }")));
    for _ in 0..60 {
        proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    }
    proxy.daemon.signal(Signal::TERM);
    assert!(proxy.daemon.wait().success());
    (proxy, trail.unwrap())
}

fn on(arguments: &[&str], files: &[PathBuf]) -> Ran {
    let mut run = Command::new(env!("CARGO_BIN_EXE_xks-proxy"));
    run.arg("audit").args(arguments).args(files);
    run.output().unwrap().into()
}

fn compressed(file: &Path, with: &str) -> PathBuf {
    let bytes = fs::read(file).unwrap();
    let (compressed, ending) = match with {
        "gzip" => {
            let mut child = Command::new("gzip");
            let output = child.arg("--stdout").arg(file).output().unwrap();
            (output.stdout, "gz")
        }
        _ => {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            (ruzstd::encoding::compress_to_vec(&*bytes, level), "zst")
        }
    };
    let path = PathBuf::from(format!("{}.{ending}", file.display()));
    fs::write(&path, compressed).unwrap();
    fs::remove_file(file).unwrap();
    path
}

#[test]
fn an_audit_trail_with_compressed_files_is_read_like_plain_files() {
    let (proxy, trail) = written();
    let files = trail.files();
    let shown = run(&proxy.setup, &["audit", "show", "--json"])
        .expect(0, &[])
        .stdout;
    assert!(files.len() > 3, "{files:?}");
    let compressed = [compressed(&files[0], "gzip"), compressed(&files[2], "zstd")];
    let again = run(&proxy.setup, &["audit", "show", "--json"]).expect(0, &[]);
    assert_eq!(again.stdout, shown);
    run(&proxy.setup, &["audit", "verify", "--hsm"]).expect(0, &["the chain holds"]);
    // A copy beside its original is not read.
    fs::write(
        files[1].with_file_name(format!("{}.gz", files[1].file_name().unwrap().display())),
        "half",
    )
    .unwrap();
    run(&proxy.setup, &["audit", "verify"]).expect(0, &["the chain holds"]);
    for file in compressed {
        let bytes = fs::read(&file).unwrap();
        for length in [0, 3, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&file, &bytes[..length]).unwrap();
            for command in ["show", "verify"] {
                let named = file.file_name().unwrap().to_str().unwrap();
                run(&proxy.setup, &["audit", command]).expect(2, &["cannot read", named]);
            }
        }
        fs::write(&file, bytes).unwrap();
    }
    // A file of an unsupported format is named.
    fs::write(files[0].with_file_name("audit.jsonl.1.xz"), b"\xfd7zXZ\0").unwrap();
    run(&proxy.setup, &["audit", "verify"]).expect(3, &["NOT READ", "audit.jsonl.1.xz"]);
}

#[test]
fn a_stream_is_read_like_a_file() {
    let (_proxy, trail) = written();
    let read = |file: &PathBuf| fs::read_to_string(file).unwrap();
    let text: String = trail.files().iter().map(read).collect();
    for arguments in [
        ["audit", "show", "--json", "/dev/stdin"].as_slice(),
        &["audit", "show", "--json", "--file", "/dev/stdin"],
    ] {
        let ran = run_with(arguments, &text).expect(0, &[]);
        assert_eq!(ran.stdout, text);
    }
    run_with(&["audit", "verify", "/dev/stdin"], &text).expect(0, &["the chain holds"]);
    // Process substitution with compressed content.
    let file = trail.files()[0].display().to_string();
    let program = env!("CARGO_BIN_EXE_xks-proxy");
    let script = format!("{program} audit show --json <(gzip --stdout {file})");
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let ran = Ran::from(output).expect(0, &[]);
    assert_eq!(ran.stdout, read(&trail.files()[0]));
}

#[test]
fn unreadable_content_is_not_an_empty_success() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    for content in [b"#!/bin/sh".as_slice(), b"\xfd7zXZ\0", b"BZh9"] {
        fs::write(&path, content).unwrap();
        on(&["show"], std::slice::from_ref(&path)).expect(1, &["not of an audit trail"]);
    }
    fs::write(&path, "{\"v\":1,\"seq\":7,\"ti").unwrap();
    let parts = ["bytes behind the last whole line", "no audit log line"];
    on(&["show"], &[path]).expect(1, &parts);
}
