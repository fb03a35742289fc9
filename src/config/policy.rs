//! `[policy]`: where the rules are, and what becomes of a denial.

use super::files;
use super::section::Section;
use crate::policy::{Policy, PolicyMode, PolicySource};

/// How policy files end.
const ENDING: &str = "cedar";

/// None when there is a fault; `Some(None)` when there is no policy.
pub(super) fn settings(root: &Section<'_>) -> Option<Option<Policy>> {
    let Some(section) = root.section("policy") else {
        return Some(None);
    };
    let engine = section.choice("engine", &[("cedar", ())]);
    let engine = engine.or_else(|| section.missing("engine", "\"cedar\""));
    let modes = [
        ("enforce", PolicyMode::Enforce),
        ("observe", PolicyMode::Observe),
    ];
    let mode = section
        .choice("mode", &modes)
        .unwrap_or(PolicyMode::Enforce);
    let path = section.required_string("path", "\"/etc/xks-proxy/policy\"");
    section.finish();
    let sources = sources(&section, path?);
    engine?;
    match Policy::load(&sources?, mode) {
        Ok((policy, warnings)) => {
            for warning in warnings {
                section.warn("path", warning.to_string());
            }
            Some(Some(policy))
        }
        Err(faults) => {
            for fault in faults {
                section.fault("path", fault.to_string());
            }
            None
        }
    }
}

/// The file, or every `.cedar` file of the directory, in the order of their names.
fn sources(section: &Section<'_>, path: &str) -> Option<Vec<PolicySource>> {
    let place = section.resolve(path);
    if !place.is_dir() {
        return Some(vec![source(section, path)?]);
    }
    // A file that comes or goes changes the directory.
    section.note_directory(&place);
    let listed = std::fs::read_dir(&place).map_err(|error| {
        section.fault("path", format!("cannot read {}: {error}", place.display()));
    });
    // As if each were written in the configuration: relative to its directory, as the path of theirs is.
    let named = |entry: std::fs::DirEntry| std::path::Path::new(path).join(entry.file_name());
    let mut paths: Vec<_> = listed.ok()?.flatten().map(named).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
    paths.sort();
    if paths.is_empty() {
        let what = format!(
            "{} has no .{ENDING} file: everything would be denied",
            place.display()
        );
        section.fault("path", what);
        return None;
    }
    let read = |path: &std::path::PathBuf| source(section, &path.to_string_lossy());
    let sources: Vec<_> = paths.iter().map(read).collect();
    sources.into_iter().collect()
}

fn source(section: &Section<'_>, path: &str) -> Option<PolicySource> {
    let bytes = files::public(section, "path", path)?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        section.fault("path", format!("{path} is not UTF-8 text"));
        return None;
    };
    let name = std::path::Path::new(path).file_name();
    Some(PolicySource {
        name: name.map_or_else(|| path.to_owned(), |n| n.to_string_lossy().into_owned()),
        text: text.to_owned(),
    })
}
