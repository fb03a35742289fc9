//! The room as a whole: chains across files, crashes, full disks and every kind of tampering.

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

impl Seal for Seals {
    fn seal(&self, head: Position) -> Sealing {
        let is_up = self.0;
        Box::pin(async move {
            let (hsm, key) = ("hsm-a".into(), "audit".into());
            let (iv, sealed) = (vec![1; 12], tag(head));
            is_up
                .then_some(SealedHead {
                    hsm,
                    key,
                    iv,
                    sealed,
                })
                .ok_or_else(|| "down".into())
        })
    }
}

impl Unseal for Seals {
    fn open(&self, checkpoint: &Checkpoint) -> Result<bool, String> {
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

fn open_sealed(settings: &AuditSettings, is_up: bool) -> Trail {
    let runtime = tokio::runtime::Handle::current();
    let sealer = Sealer {
        seal: Arc::new(Seals(is_up)),
        runtime,
    };
    let metrics = AuditMetrics::declare(&Metrics::default()).unwrap();
    Trail::open(settings, Some(sealer), metrics).unwrap()
}

fn entry(reason: &str) -> Entry {
    let event = "authentication_failed";
    Entry::security(&Security {
        event,
        reason: Some(reason),
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
        let trail = open_sealed(&settings, true);
        record(&trail, 50).await;
        trail.stop().await;
    }
    let found = check(&settings);
    assert_eq!(found.fault, None);
    assert_eq!((found.lines, found.seals_verified), (3 * 53, 3));
    assert_eq!(found.sealed_through, Some(3 * 53 - 1));
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
async fn a_torn_line_is_set_aside_and_recorded() {
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
        chain::hex(&chain::sha256(&aside))
    )));
}

#[tokio::test]
async fn every_tampering_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&directory);
    settings.checkpoint.lines = 20;
    let trail = open_sealed(&settings, true);
    record(&trail, 60).await;
    trail.stop().await;
    let bytes = fs::read(&settings.path).unwrap();
    let path = directory.path().join("tampered");
    assert_eq!(damage_of(&bytes, &path), (None, 0));
    for at in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let (damage, torn) = damage_of(&changed, &path);
        assert!(damage.is_some() || torn > 0, "byte {at}");
    }
    let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
    let damage = |lines: &[&[u8]]| damage_of(&lines.concat(), &path).0;
    let mut removed = lines.clone();
    removed.remove(10);
    assert_eq!(damage(&removed), Some(Damage::Removed { until: 12 }));
    let mut doubled = lines.clone();
    doubled.insert(10, lines[9]);
    assert_eq!(damage(&doubled), Some(Damage::Inserted { seq: 10 }));
    let mut swapped = lines.clone();
    swapped.swap(10, 11);
    assert_eq!(damage(&swapped), Some(Damage::Reordered { seq: 12 }));
    // Who makes line and hash anew has to make all later lines anew, and then the HSM's word is not theirs.
    let mut forged = Vec::new();
    let mut chain = Position::GENESIS;
    for (index, line) in lines.iter().enumerate() {
        let read = chain::Line::read_intact(&line[..line.len() - 1]).unwrap();
        match read.kind {
            "checkpoint" => forged.extend_from_slice(line),
            _ => chain.append(&entry(&format!("forged {index}")), &mut forged),
        }
    }
    assert!(damage_of(&forged, &path).0.is_some());
}

#[tokio::test]
async fn a_replayed_seal_vouches_for_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let trail = open_sealed(&settings, true);
    record(&trail, 5).await;
    trail.stop().await;
    assert_eq!(check(&settings).sealed_through, Some(7));
    let head = check(&settings).last.unwrap().position;
    let seal = SealedHead {
        hsm: "h".into(),
        key: "k".into(),
        iv: vec![1; 12],
        sealed: tag(head),
    };
    let genuine = checkpoint::Attempt {
        head,
        outcome: Ok(seal),
    }
    .entry();
    // A trail of the forger's own, whose beginning is said to be in another place.
    let (mut chain, mut forged) = (
        Position {
            seq: 100,
            hash: [7; 32],
        },
        Vec::new(),
    );
    for entry in [entry("forged"), genuine.clone(), entry("forged")] {
        chain.append(&entry, &mut forged);
    }
    let path = directory.path().join("forged");
    fs::write(&path, &forged).unwrap();
    let found = verify(
        std::slice::from_ref(&path),
        None,
        Some(&Seals(true)),
        &mut |_| (),
    )
    .unwrap();
    assert_eq!((found.seals_verified, found.seals_of_earlier_lines), (0, 1));
    assert_eq!(found.sealed_through, None);
    // Made anew from its beginning, the trail does not match the seal.
    let (mut chain, mut forged) = (Position::GENESIS, Vec::new());
    for _ in 0..10 {
        chain.append(&entry("forged"), &mut forged);
    }
    chain.append(&genuine, &mut forged);
    assert_eq!(damage_of(&forged, &path).0, Some(Damage::FalseSeal));
}

#[tokio::test]
async fn what_was_cut_off_is_missed_by_who_knew_it() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let trail = open(&settings).unwrap();
    record(&trail, 20).await;
    trail.stop().await;
    let files = [settings.path.clone()];
    let known = check(&settings).last.map(|place| place.position);
    let text = fs::read_to_string(&settings.path).unwrap();
    let cut: Vec<&str> = text.split_inclusive('\n').take(10).collect();
    assert!(
        verify(&files, known, None, &mut |_| ())
            .unwrap()
            .fault
            .is_none()
    );
    fs::write(&settings.path, cut.concat()).unwrap();
    let fault = verify(&files, known, None, &mut |_| ())
        .unwrap()
        .fault
        .unwrap();
    assert_eq!((fault.damage, fault.seq), (Damage::AnchorMissing, 22));
}

#[tokio::test]
async fn what_is_known_of_files_that_are_gone_links_those_that_are_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&directory);
    settings.rotate.size = Some(2000);
    let trail = open_sealed(&settings, true);
    record(&trail, 20).await;
    trail.stop().await;
    let files = trail_files(&settings.path).unwrap();
    let (gone, rest) = files.split_at(2);
    let verified = |files: &[PathBuf], after| {
        let found = verify(files, after, Some(&Seals(true)), &mut |_| ()).unwrap();
        let first = found.first.map(|first| first.position.seq);
        (found.fault.map(|fault| (fault.seq, fault.damage)), first)
    };
    let known = verify(gone, None, None, &mut |_| ()).unwrap().last;
    let known = known.unwrap().position;
    let read: Position = known.to_string().parse().unwrap();
    assert_eq!(read, known);
    assert_eq!(verified(rest, Some(known)), (None, Some(known.seq + 1)));
    let mut other = known;
    other.hash[0] ^= 1;
    assert_eq!(
        verified(rest, Some(other)),
        (Some((known.seq + 1, Damage::Unlinked)), None)
    );
    let until = known.seq + 1;
    other.seq -= 1;
    assert_eq!(
        verified(rest, Some(other)),
        (Some((known.seq, Damage::Removed { until })), None)
    );
    assert_eq!(verified(&files, Some(Position::GENESIS)).0, None);
    for bad in [
        "",
        "1",
        "1:",
        "x:00",
        "1:00",
        &known.to_string().to_uppercase(),
    ] {
        assert!(
            bad.parse::<Position>().is_err() || bad == known.to_string(),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_file_does_not_drop_out_because_its_first_line_was_changed() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&directory);
    settings.rotate.size = Some(2000);
    let trail = open(&settings).unwrap();
    record(&trail, 30).await;
    trail.stop().await;
    let files = trail_files(&settings.path).unwrap();
    assert_eq!(
        in_order(&files.iter().rev().cloned().collect::<Vec<_>>()).unwrap(),
        files
    );
    let aside =
        [".lock", ".torn-7-0"].map(|end| directory.path().join(format!("audit.jsonl{end}")));
    fs::write(&aside[1], "{\"v\":1,\"seq\"").unwrap();
    assert_eq!(
        in_order(&[aside.to_vec(), files.clone()].concat()).unwrap(),
        files
    );
    for damaged in [&files[1], files.last().unwrap()] {
        let whole = fs::read(damaged).unwrap();
        let mut changed = whole.clone();
        changed[2] ^= 1;
        fs::write(damaged, changed).unwrap();
        assert_eq!(trail_files(&settings.path).unwrap(), files);
        let fault = check(&settings).fault.unwrap();
        assert_eq!(
            (&fault.file, fault.line, fault.damage),
            (damaged, 1, Damage::NotALine)
        );
        fs::write(damaged, whole).unwrap();
    }
    fs::write(directory.path().join("audit.jsonl.note"), "not ours\n").unwrap();
    fs::write(
        directory.path().join("audit.jsonl.00000000000000000099"),
        "",
    )
    .unwrap();
    assert_eq!(trail_files(&settings.path).unwrap(), files);
}

#[tokio::test]
async fn who_follows_misses_no_line_of_any_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&directory);
    settings.rotate.size = Some(1000);
    let mut lines = Lines::of(trail_files(&settings.path).unwrap());
    let mut seen = Vec::new();
    let mut catch_up = || {
        // Once for the rest of a file, once for those behind it.
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
async fn one_writer_and_no_foreign_file() {
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
async fn callers_stay_within_their_line() {
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
async fn an_hsm_that_is_down_leaves_unsealed_checkpoints() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let trail = open_sealed(&settings, false);
    record(&trail, 3).await;
    trail.stop().await;
    let found = check(&settings);
    assert_eq!(
        (found.fault, found.unsealed, found.sealed_through),
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

/// Run by the test below, in a process of its own whose files may not grow beyond a limit.
#[tokio::test]
#[ignore = "needs a process of its own"]
async fn in_a_process_with_a_full_disk() {
    let path = PathBuf::from(std::env::var_os("XKS_TEST_AUDIT").unwrap());
    for on_failure in [OnFailure::Refuse, OnFailure::Continue] {
        let mut settings = AuditSettings::at(path.with_extension(format!("{on_failure:?}")));
        settings.on_failure = on_failure;
        let trail = open(&settings).unwrap();
        let length = || fs::metadata(&settings.path).map_or(0, |file| file.len());
        until(|| length() > 0);
        // Not even the line that would tell of the others fits.
        limit(length());
        let mut refused = 0;
        for _ in 0..100 {
            refused += u64::from(trail.record(entry("a line")).await.is_err());
        }
        until(|| !trail.is_healthy());
        assert_eq!(refused > 0, on_failure == OnFailure::Refuse);
        limit(u64::MAX);
        until(|| trail.is_healthy());
        trail.record(entry("healed")).await.unwrap();
        trail.stop().await;
        let found = check(&settings);
        assert_eq!(
            (found.fault, found.torn_bytes, found.recovered.len()),
            (None, 0, 1)
        );
        // Start, stop, healed and the recovery have lines of their own.
        let unrecorded = 100 + 4 - found.lines;
        let text = fs::read_to_string(&settings.path).unwrap();
        assert!(
            text.contains(&format!("\"unrecorded\":{unrecorded}}}"))
                || text.contains(&format!("\"unrecorded\":{unrecorded},")),
            "{text}"
        );
    }
}

fn limit(bytes: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Fsize).maximum;
    let current = Some(bytes).filter(|b| *b < u64::MAX);
    setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
}

fn until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_full_disk_refuses_and_heals() {
    let directory = tempfile::tempdir().unwrap();
    // The shell ignores SIGXFSZ, and what it executes inherits that: a write beyond the limit is an error and no death.
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "audit::tests::in_a_process_with_a_full_disk",
            "--ignored",
        ])
        .env("XKS_TEST_AUDIT", directory.path().join("audit"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
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
