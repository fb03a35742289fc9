//! Checks an audit trail: compares its files with the results that callers received.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use super::random::Random;
use super::world::{CallerResults, World};
use crate::audit::tests::Seals;
use crate::audit::*;

pub(super) fn check_all(world: &World, random: &mut Random) {
    let files = files(world);
    let found = verified(&files, None);
    assert_eq!(found.fault, None, "{:?}", listing(&files));
    let lines = lines(&files);
    let results = world.results.lock().unwrap();
    check_entries(&lines, &results, world);
    check_unrecorded(&lines, &results, world);
    check_removals(world, &lines, random);
}

/// Returns every file of the audit trail, including archived ones.
fn files(world: &World) -> Vec<PathBuf> {
    let mut files = trail_files(&world.settings.path).unwrap();
    let archive = std::fs::read_dir(world.archived()).unwrap();
    files.extend(archive.map(|entry| entry.unwrap().path()));
    in_order(&files).unwrap().files
}

fn listing(files: &[PathBuf]) -> Vec<(PathBuf, u64)> {
    let length = |file: &PathBuf| file.metadata().map_or(0, |m| m.len());
    files.iter().map(|f| (f.clone(), length(f))).collect()
}

fn verified(files: &[PathBuf], known: Option<Position>) -> Verification {
    verify(files, known, Some(&Seals(true)), &mut |_| ()).unwrap()
}

fn lines(files: &[PathBuf]) -> Vec<String> {
    let mut lines = Lines::of(files.to_vec());
    let mut found = Vec::new();
    while let Some(line) = lines.next_line().unwrap() {
        found.push(String::from_utf8(line.to_vec()).unwrap());
    }
    // An incomplete line at the end of a renamed file, which a crash left, is not a line.
    found.retain(|line| line.ends_with('}'));
    found
}

fn value(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// Checks that each entry has the lines that its caller expects.
fn check_entries(lines: &[String], results: &CallerResults, world: &World) {
    let mut seqs: HashMap<String, Vec<u64>> = HashMap::new();
    let mut corrections: HashMap<u64, String> = HashMap::new();
    for line in lines.iter().map(|line| value(line)) {
        let id = line["reason"].as_str().unwrap_or_default().to_owned();
        match line["corrects"].as_u64() {
            Some(seq) => assert_eq!(corrections.insert(seq, id), None),
            None if line["kind"] == "security" => {
                seqs.entry(id)
                    .or_default()
                    .push(line["seq"].as_u64().unwrap());
            }
            None => {}
        }
    }
    let times = |id: &String| seqs.get(id).map_or(0, Vec::len);
    for (id, seqs) in &seqs {
        assert_eq!(seqs.len(), 1, "{id} is recorded at {seqs:?}");
    }
    let mut last = 0;
    for id in &results.written {
        assert_eq!(times(id), 1, "{id} was acknowledged");
        let seq = seqs[id][0];
        assert!(seq > last, "{id} is line {seq}, after line {last}");
        assert!(!corrections.contains_key(&seq), "{id} was acknowledged");
        last = seq;
    }
    for id in &results.found_written {
        assert_eq!(times(id), 1, "{id} was acknowledged");
    }
    for id in &results.replaced {
        assert_eq!(times(id), 0, "{id} was replaced");
    }
    for (id, instead) in &results.late {
        let corrected = seqs.get(id).map(|seqs| corrections.remove(&seqs[0]));
        match corrected {
            Some(Some(by)) => assert_eq!(&by, instead),
            // If the process ends between the line and its correction, the line has no correction.
            Some(None) => assert!(!world.is_count_exact, "{id} has no correction"),
            None => {}
        }
    }
    assert!(
        corrections.is_empty(),
        "corrections without a replaced entry: {corrections:?}"
    );
    assert!(world.noted.iter().all(|id| times(id) <= 1));
}

/// Checks the numbers of unrecorded entries in the lines.
fn check_unrecorded(lines: &[String], results: &CallerResults, world: &World) {
    let count = |line: &String| value(line)["unrecorded"].as_u64().unwrap_or(0);
    let counted: u64 = lines.iter().map(count).sum();
    let all = lines.concat();
    let is_absent = |id: &&String| !all.contains(&format!("\"{id}\""));
    let noted = world.noted.iter().filter(is_absent).count() as u64;
    let late = results.late.iter();
    let late = late.filter(|(id, instead)| is_absent(id) && is_absent(instead));
    let late = late.count() as u64;
    let absent = results.refused + noted + late;
    match world.is_count_exact {
        true => assert_eq!(counted, absent),
        false => assert!(counted <= absent, "{counted} of {absent}"),
    }
}

/// Checks that the removal of lines is found where it happened. A removal at the end is found by a caller who knows the last line.
fn check_removals(world: &World, lines: &[String], random: &mut Random) {
    let path = world.directory.path().join("cut");
    let verified = |lines: &[String], known| {
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        verified(std::slice::from_ref(&path), known).fault
    };
    let begin = 1 + random.index(lines.len() - 2);
    let end = begin + 1 + random.index(lines.len() - begin - 1);
    let seq = |at: usize| value(&lines[at])["seq"].as_u64().unwrap();
    let rest = [&lines[..begin], &lines[end..]].concat();
    let fault = verified(&rest, None).unwrap();
    let until = seq(end);
    assert_eq!(fault.damage, Damage::Removed { until });
    assert_eq!(fault.seq, seq(begin));
    let last = value(&lines[lines.len() - 1]);
    let known = format!("{}:{}", last["seq"], last["hash"].as_str().unwrap());
    let known: Position = known.parse().unwrap();
    assert_eq!(verified(lines, Some(known)), None);
    let fault = verified(&lines[..begin], Some(known)).unwrap();
    assert_eq!(fault.damage, Damage::AnchorMissing);
}
