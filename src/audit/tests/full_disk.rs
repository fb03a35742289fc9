//! While the disk is full, requests are rejected or entries are lost, as configured. Recording continues when the disk has space again.

use super::*;

/// The test below runs this in a separate process in which the size of files is limited.
#[tokio::test]
#[ignore = "needs a separate process"]
async fn in_a_process_with_a_full_disk() {
    let path = PathBuf::from(std::env::var_os("XKS_TEST_AUDIT").unwrap());
    for on_failure in [OnFailure::Refuse, OnFailure::Continue] {
        let mut settings = AuditSettings::at(path.with_extension(format!("{on_failure:?}")));
        settings.on_failure = on_failure;
        let trail = open(&settings).unwrap();
        let length = || fs::metadata(&settings.path).map_or(0, |file| file.len());
        until(|| length() > 0);
        // The line about unrecorded entries does not fit either.
        limit(length());
        let mut rejected = 0;
        for _ in 0..100 {
            rejected += u64::from(trail.record(entry("a line")).await.is_err());
        }
        until(|| !trail.is_healthy(Duration::from_secs(2)));
        assert_eq!(rejected > 0, on_failure == OnFailure::Refuse);
        limit(u64::MAX);
        until(|| trail.is_healthy(Duration::from_secs(2)));
        trail.record(entry("recovered")).await.unwrap();
        trail.stop().await;
        let found = check(&settings);
        assert_eq!(
            (found.fault, found.torn_bytes, found.recovered.len()),
            (None, 0, 1)
        );
        // The lines besides the 100 entries: start, stop, "recovered", and the line about unrecorded entries.
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
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "the condition did not become true"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_full_disk_rejects_requests_until_it_has_space() {
    let directory = tempfile::tempdir().unwrap();
    // The shell ignores SIGXFSZ, and its child inherits that: a write beyond the limit returns an error instead of killing the process.
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "audit::tests::full_disk::in_a_process_with_a_full_disk",
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
