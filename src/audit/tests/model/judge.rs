//! What must hold of a trail, from its files and from what the callers were told.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use super::random::Random;
use super::world::{Told, World};
use crate::audit::tests::Seals;
use crate::audit::*;

pub(super) fn judge(world: &World, random: &mut Random) {
    let files = files(world);
    let found = verified(&files, None);
    assert_eq!(found.fault, None, "{:?}", listing(&files));
    let lines = lines(&files);
    let told = world.told.lock().unwrap();
    entries(&lines, &told, world);
    unrecorded(&lines, &told, world);
    cuts(world, &lines, random);
}

/// Every file of the trail, wherever it is now.
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
    // What a crash tore off at the end of a renamed file is not a line.
    found.retain(|line| line.ends_with('}'));
    found
}

fn value(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// Each entry has the lines that its caller may expect.
fn entries(lines: &[String], told: &Told, world: &World) {
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
    for id in &told.written {
        assert_eq!(times(id), 1, "{id} was acknowledged");
        let seq = seqs[id][0];
        assert!(seq > last, "{id} is line {seq}, behind line {last}");
        assert!(!corrections.contains_key(&seq), "{id} was acknowledged");
        last = seq;
    }
    for id in &told.found_written {
        assert_eq!(times(id), 1, "{id} was acknowledged");
    }
    for id in &told.replaced {
        assert_eq!(times(id), 0, "{id} was replaced");
    }
    for (id, instead) in &told.late {
        let corrected = seqs.get(id).map(|seqs| corrections.remove(&seqs[0]));
        match corrected {
            Some(Some(by)) => assert_eq!(&by, instead),
            // A process that ends between the line and its correction leaves the line alone.
            Some(None) => assert!(!world.is_count_exact, "{id} has no correction"),
            None => {}
        }
    }
    assert!(corrections.is_empty(), "of nobody: {corrections:?}");
    assert!(world.noted.iter().all(|id| times(id) <= 1));
}

/// The lines say of how many entries there is none.
fn unrecorded(lines: &[String], told: &Told, world: &World) {
    let count = |line: &String| value(line)["unrecorded"].as_u64().unwrap_or(0);
    let counted: u64 = lines.iter().map(count).sum();
    let all = lines.concat();
    let is_absent = |id: &&String| !all.contains(&format!("\"{id}\""));
    let noted = world.noted.iter().filter(is_absent).count() as u64;
    let late = told.late.iter();
    let late = late.filter(|(id, instead)| is_absent(id) && is_absent(instead));
    let late = late.count() as u64;
    let absent = told.refused + noted + late;
    match world.is_count_exact {
        true => assert_eq!(counted, absent),
        false => assert!(counted <= absent, "{counted} of {absent}"),
    }
}

/// A cut is found where it is, and so is one at the end by a caller who knows the last line.
fn cuts(world: &World, lines: &[String], random: &mut Random) {
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
