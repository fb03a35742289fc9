//! Imports between the files of the library form no cycle, except for those that the known imports close.

use std::collections::{BTreeMap, BTreeSet};

use crate::resolver::{Imports, imports};
use crate::sources::sources;

/// Imports that close a cycle: the first file imports the second one, which already depends on the first. The other imports form no
/// cycle. The list must only shrink.
const KNOWN_CYCLE_IMPORTS: &[(&str, &str)] = &[];

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

/// Returns `imports` without the known ones.
fn without_known(imports: &Imports, known: &[(&str, &str)]) -> Imports {
    let is_new = |from: &str, to: &str| !known.contains(&(from, to));
    let all = imports.iter().filter(|((from, to), _)| is_new(from, to));
    all.map(|(edge, path)| (edge.clone(), path.clone()))
        .collect()
}

/// Returns the known imports that exist no longer, or close no cycle any longer.
fn needless<'a>(imports: &Imports, known: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let others = without_known(imports, known);
    let next = neighbours(&others);
    let closes_cycle = |from: &str, to: &str| {
        imports.contains_key(&(from.to_owned(), to.to_owned()))
            && reached_from(to, &next).contains(from)
    };
    known
        .iter()
        .copied()
        .filter(|(from, to)| !closes_cycle(from, to))
        .collect()
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
fn imports_between_files_form_no_new_cycle() {
    let imports = without_known(&imports(&sources()), KNOWN_CYCLE_IMPORTS);
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
fn known_cycles_still_exist() {
    let needless = needless(&imports(&sources()), KNOWN_CYCLE_IMPORTS);
    assert!(
        needless.is_empty(),
        "these imports close no cycle any longer; shrink KNOWN_CYCLE_IMPORTS: {needless:#?}"
    );
}

#[test]
fn a_cycle_is_found_unless_it_is_known() {
    let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")];
    let imports: Imports = edges
        .iter()
        .map(|(from, to)| (((*from).to_owned(), (*to).to_owned()), String::new()))
        .collect();
    assert_eq!(cycles(&imports), BTreeSet::from([vec!["a", "b", "c"]]));
    let known = [("c", "a")];
    assert!(cycles(&without_known(&imports, &known)).is_empty());
    assert!(needless(&imports, &known).is_empty());
    let useless = [("c", "a"), ("c", "d"), ("d", "a")];
    assert_eq!(needless(&imports, &useless), [("c", "d"), ("d", "a")]);
}
