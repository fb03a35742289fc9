//! Verification finds changed, removed, inserted and reordered lines, and names the first one.

use super::*;

#[tokio::test]
async fn every_tampering_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&directory);
    settings.checkpoint.lines = 20;
    let trail = open_with_hsm(&settings, true);
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
    // A forger who replaces a line and its hash must replace all later lines too. The seals then do not match.
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
async fn a_replayed_seal_covers_no_line() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let trail = open_with_hsm(&settings, true);
    record(&trail, 5).await;
    trail.stop().await;
    assert_eq!(check(&settings).signed_through, Some(7));
    let head = check(&settings).last.unwrap().position;
    let seal = Seal {
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
    // A forged audit trail whose first line claims to follow other lines.
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
    assert_eq!(found.signed_through, None);
    // A audit trail that is forged from its first line does not match the seal.
    let (mut chain, mut forged) = (Position::GENESIS, Vec::new());
    for _ in 0..10 {
        chain.append(&entry("forged"), &mut forged);
    }
    chain.append(&genuine, &mut forged);
    assert_eq!(damage_of(&forged, &path).0, Some(Damage::FalseSeal));
}

#[tokio::test]
async fn a_removed_end_is_detected_by_a_caller_who_knows_the_last_line() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let trail = open(&settings).unwrap();
    record(&trail, 20).await;
    trail.stop().await;
    let files = [settings.path.clone()];
    let known = check(&settings).last.map(|line| line.position);
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
async fn the_known_last_line_of_missing_files_links_the_remaining_files() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&directory);
    settings.rotate.size = Some(2000);
    let trail = open_with_hsm(&settings, true);
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
async fn a_file_with_a_changed_first_line_still_belongs_to_the_audit_trail() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&directory);
    settings.rotate.size = Some(2000);
    let trail = open(&settings).unwrap();
    record(&trail, 30).await;
    trail.stop().await;
    let files = trail_files(&settings.path).unwrap();
    assert_eq!(
        in_order(&files.iter().rev().cloned().collect::<Vec<_>>())
            .unwrap()
            .files,
        files
    );
    let aside =
        [".lock", ".torn-7-0"].map(|end| directory.path().join(format!("audit.jsonl{end}")));
    fs::write(&aside[1], "{\"v\":1,\"seq\"").unwrap();
    assert_eq!(
        in_order(&[aside.to_vec(), files.clone()].concat())
            .unwrap()
            .files,
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
    fs::write(directory.path().join("audit.jsonl.note"), "not a line\n").unwrap();
    fs::write(
        directory.path().join("audit.jsonl.00000000000000000099"),
        "",
    )
    .unwrap();
    assert_eq!(trail_files(&settings.path).unwrap(), files);
}
