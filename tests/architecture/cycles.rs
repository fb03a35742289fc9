//! Imports between the files of the library form no cycle.

use std::collections::{BTreeMap, BTreeSet};

use crate::resolver::{Imports, imports};
use crate::sources::sources;

/// Returns the cycles of `imports`, each as the files that reach one another.
fn cycles(imports: &Imports) -> BTreeSet<Vec<&str>> {
    let next = neighbours(imports);
    let reached: BTreeMap<_, _> = next
        .keys()
        .map(|file| (*file, reached_from(file, &next)))
        .collect();
    let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|files| files.contains(to));
    let cycle_of = |file: &&str| -> Vec<&str> {
        let others = reached.keys().copied();
        others
            .filter(|other| reaches(file, other) && reaches(other, file))
            .collect()
    };
    next.keys()
        .map(cycle_of)
        .filter(|cycle| !cycle.is_empty())
        .collect()
}

fn neighbours(imports: &Imports) -> BTreeMap<&str, Vec<&str>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in imports.keys() {
        next.entry(from).or_default().push(to);
    }
    next
}

fn reached_from<'a>(file: &str, next: &BTreeMap<&str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut pending = next.get(file).cloned().unwrap_or_default();
    while let Some(file) = pending.pop() {
        if reached.insert(file) {
            pending.extend(next.get(file).into_iter().flatten());
        }
    }
    reached
}

/// The files of a cycle and the imports between them.
fn description(cycle: &[&str], imports: &Imports) -> String {
    let is_inside = |name: &String| cycle.contains(&name.as_str());
    let inside = imports
        .iter()
        .filter(|((from, to), _)| is_inside(from) && is_inside(to));
    let lines = inside.map(|((from, to), path)| format!("\n    {from} imports {to}: {path}"));
    format!("{}{}", cycle.join(", "), lines.collect::<String>())
}

#[test]
fn imports_between_files_form_no_cycle() {
    let imports = imports(&sources());
    let found = cycles(&imports);
    let described: Vec<_> = found
        .iter()
        .map(|cycle| description(cycle, &imports))
        .collect();
    assert!(
        found.is_empty(),
        "files import one another in a cycle:\n{}",
        described.join("\n")
    );
}

#[test]
fn a_cycle_is_found() {
    let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")];
    let imports: Imports = edges
        .iter()
        .map(|(from, to)| (((*from).to_owned(), (*to).to_owned()), String::new()))
        .collect();
    assert_eq!(cycles(&imports), BTreeSet::from([vec!["a", "b", "c"]]));
}
