//! Tests of the whole module: chains across files, crashes, full disks and tampering.

mod full_disk;
mod model;
mod tampering;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::metrics::Metrics;

struct Seals(bool);

fn tag(head: Position) -> Vec<u8> {
    chain::sha256(&[b"key".to_vec(), head.aad()].concat()).to_vec()
}

impl Sealer for Seals {
    fn seal(&self, head: Position) -> SealFuture {
        let is_up = self.0;
        Box::pin(async move {
            let (hsm, key) = ("hsm-a".into(), "audit".into());
            let (iv, sealed) = (vec![1; 12], tag(head));
            is_up
                .then_some(Seal {
                    hsm,
                    key,
                    iv,
                    sealed,
                })
                .ok_or_else(|| "down".into())
        })
    }
}

impl SealVerifier for Seals {
    fn is_genuine(&self, checkpoint: &Checkpoint) -> Result<bool, String> {
        Ok(checkpoint.seal.sealed == tag(checkpoint.head))
    }
}

fn settings(directory: &tempfile::TempDir) -> AuditSettings {
    AuditSettings::at(directory.path().join("audit.jsonl"))
}

fn open(settings: &AuditSettings) -> Result<Trail, AuditError> {
    Trail::open(
        settings,
        None,
        AuditMetrics::declare(&Metrics::default()).unwrap(),
    )
}

fn open_with_hsm(settings: &AuditSettings, is_up: bool) -> Trail {
    let runtime = tokio::runtime::Handle::current();
    let sealer = SealerHandle {
        sealer: Arc::new(Seals(is_up)),
        runtime,
    };
    let metrics = AuditMetrics::declare(&Metrics::default()).unwrap();
    Trail::open(settings, Some(sealer), metrics).unwrap()
}

fn entry(reason: &str) -> Entry {
    let event = "authentication_failed";
    Entry::security(&Security {
        event,
        reason: Some(reason.into()),
        ..Security::default()
    })
}

async fn record(trail: &Trail, lines: usize) {
    for number in 0..lines {
        trail
            .record(entry(&format!("number {number}")))
            .await
            .unwrap();
    }
}

fn check(settings: &AuditSettings) -> Verification {
    let files = trail_files(&settings.path).unwrap();
    verify(&files, None, Some(&Seals(true)), &mut |_| ()).unwrap()
}

fn damage_of(bytes: &[u8], path: &Path) -> (Option<Damage>, u64) {
    fs::write(path, bytes).unwrap();
    let found = verify(&[path.to_owned()], None, Some(&Seals(true)), &mut |_| ()).unwrap();
    (found.fault.map(|fault| fault.damage), found.torn_bytes)
}

#[tokio::test]
async fn the_chain_crosses_files_and_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&directory);
    settings.rotate.size = Some(2000);
    for _ in 0..3 {
        let trail = open_with_hsm(&settings, true);
        record(&trail, 50).await;
        trail.stop().await;
    }
    let found = check(&settings);
    assert_eq!(found.fault, None);
    assert_eq!((found.lines, found.seals_verified), (3 * 53, 3));
    assert_eq!(found.signed_through, Some(3 * 53 - 1));
    assert!(found.files > 10, "{found:?}");
}

#[tokio::test]
async fn logrotate_and_deletion_do_not_break_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let trail = open(&settings).unwrap();
    record(&trail, 5).await;
    let moved = directory.path().join("audit.jsonl.1");
    fs::rename(&settings.path, &moved).unwrap();
    record(&trail, 5).await;
    trail.reopen();
    record(&trail, 5).await;
    trail.stop().await;
    assert!(fs::read_to_string(&moved).unwrap().lines().count() == 11);
    fs::rename(&settings.path, directory.path().join("audit.jsonl-2")).unwrap();
    let trail = open(&settings).unwrap();
    record(&trail, 1).await;
    trail.stop().await;
    let found = check(&settings);
    assert_eq!((found.fault, found.lines, found.files), (None, 17 + 3, 3));
}

#[tokio::test]
async fn an_incomplete_line_is_moved_to_another_file_and_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let trail = open(&settings).unwrap();
    record(&trail, 3).await;
    trail.stop().await;
    let mut file = OpenOptions::new()
        .append(true)
        .open(&settings.path)
        .unwrap();
    file.write_all(b"{\"v\":1,\"seq\":6,\"ti").unwrap();
    open(&settings).unwrap().stop().await;
    let found = check(&settings);
    assert_eq!((found.fault, found.recovered), (None, vec![6]));
    let aside = fs::read(directory.path().join("audit.jsonl.torn-6-0")).unwrap();
    assert_eq!(aside, b"{\"v\":1,\"seq\":6,\"ti");
    let text = fs::read_to_string(&settings.path).unwrap();
    assert!(text.contains(&format!(
        "\"sha256\":\"{}\"",
        crate::hex::encode(&chain::sha256(&aside))
    )));
}

#[tokio::test]
async fn a_reader_that_follows_an_audit_trail_misses_no_line() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&directory);
    settings.rotate.size = Some(1000);
    let mut lines = Lines::of(trail_files(&settings.path).unwrap());
    let mut seen = Vec::new();
    let mut catch_up = || {
        // One pass reads the rest of a file, the next pass reads the files after it.
        for _ in 0..2 {
            lines.look_for_more(&settings.path).unwrap();
            while let Some(line) = lines.next_line().unwrap() {
                seen.push(chain::Line::read_intact(line).unwrap().seq);
            }
        }
        seen.len()
    };
    assert_eq!(catch_up(), 0);
    let trail = open(&settings).unwrap();
    for lines in [1, 3, 40, 1, 40] {
        record(&trail, lines).await;
        catch_up();
    }
    trail.stop().await;
    catch_up();
    assert_eq!(seen, (1..=87).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_second_writer_and_foreign_files_are_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let trail = open(&settings).unwrap();
    assert!(matches!(open(&settings), Err(AuditError::Locked(_))));
    trail.stop().await;
    assert!(matches!(
        trail.record(entry("late")).await,
        Err(AuditError::Stopped)
    ));
    for foreign in ["root:x:0:0\n", "no newline", "{\"v\":2,\"seq\":1}\n"] {
        fs::write(&settings.path, foreign).unwrap();
        assert!(
            matches!(open(&settings), Err(AuditError::Foreign(..))),
            "{foreign}"
        );
        assert_eq!(fs::read_to_string(&settings.path).unwrap(), foreign);
    }
    fs::remove_file(&settings.path).unwrap();
    std::os::unix::fs::symlink("/dev/full", &settings.path).unwrap();
    assert!(matches!(open(&settings), Err(AuditError::Unusable(..))));
}

#[tokio::test]
async fn text_from_callers_stays_within_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let trail = open(&settings).unwrap();
    let nasty = "a\n{\"v\":1}\r\u{85}\u{2028}\u{1b}[2J\u{7f}\"\\ü😀\0";
    trail.record(entry(nasty)).await.unwrap();
    trail.stop().await;
    let text = fs::read_to_string(&settings.path).unwrap();
    assert!(
        text.bytes()
            .all(|b| b == b'\n' || (0x20..0x7f).contains(&b))
    );
    let line = text.lines().nth(1).unwrap();
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(value["reason"], nasty);
    assert_eq!(text.lines().count(), 3);
}

#[tokio::test]
async fn an_hsm_that_is_down_leaves_checkpoints_without_a_seal() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let trail = open_with_hsm(&settings, false);
    record(&trail, 3).await;
    trail.stop().await;
    let found = check(&settings);
    assert_eq!(
        (found.fault, found.unsealed, found.signed_through),
        (None, 1, None)
    );
    assert!(
        fs::read_to_string(&settings.path)
            .unwrap()
            .contains("\"unsealed\":\"down\"")
    );
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_break_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let trail = open(&settings).unwrap();
    let mut early = entry("early");
    early.time -= Duration::from_secs(7200);
    trail.record(early).await.unwrap();
    trail.stop().await;
    let found = check(&settings);
    assert_eq!(
        (found.fault, found.lines, found.clock_went_back),
        (None, 3, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: run it in release"]
async fn measure() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let trail = open(&settings).unwrap();
    let began = Instant::now();
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let trail = trail.clone();
            tokio::spawn(async move { record(&trail, 1000).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    println!("1 000 000 lines written in {:?}", began.elapsed());
    trail.stop().await;
    let began = Instant::now();
    let found = check(&settings);
    println!("{} lines verified in {:?}", found.lines, began.elapsed());
    assert_eq!(found.fault, None);
}
