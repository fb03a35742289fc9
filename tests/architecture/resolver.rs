//! Finds the file that defines the item of a path, and with it the imports between files.
//!
//! An import leads to the file that *defines* the item, through every re-export: a parent with `pub use child::Thing` imports
//! `child`, and a sibling that writes `super::Thing` imports `child` too, not the parent.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::paths::{self, Mention, Names};
use crate::sources::Source;

/// The imports between files, each with a path that shows it. Files are named by their modules: `server/admit`.
pub type Imports = BTreeMap<(String, String), String>;

/// A limit for chains of re-exports.
const MAX_REEXPORTS: usize = 16;

/// Returns the imports between files of the library.
pub fn imports(sources: &[Source]) -> Imports {
    let crate_ = Crate::new(sources);
    let mut found = Imports::new();
    for (module, names) in &crate_.files {
        for path in &names.paths {
            if let Some(target) = crate_.file_of(module, path)
                && target != *module
            {
                found
                    .entry((module.join("/"), target.join("/")))
                    .or_insert_with(|| path.segments.join("::"));
            }
        }
    }
    found
}

/// Returns `path`, as written in `module`, as a path from the crate's root. None if its first segment is not
/// `crate`, `self` or `super`.
pub fn absolute(module: &[String], path: &Mention) -> Option<Vec<String>> {
    let mut base = [module, &path.scope].concat();
    let mut rest = path.segments.as_slice();
    match rest.first()?.as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            while rest.get(1).is_some_and(|next| next == "super") {
                base.pop();
                rest = &rest[1..];
            }
            base.pop();
        }
        _ => return None,
    }
    base.extend_from_slice(&rest[1..]);
    Some(base)
}

struct Crate {
    files: BTreeMap<Vec<String>, Names>,
    /// The items of each module, by their paths.
    definitions: HashSet<Vec<String>>,
    /// The names that `use` binds in each module, with their paths.
    bindings: HashMap<Vec<String>, (Vec<String>, Mention)>,
}

impl Crate {
    fn new(sources: &[Source]) -> Self {
        let mut this = Self {
            files: BTreeMap::new(),
            definitions: HashSet::new(),
            bindings: HashMap::new(),
        };
        let is_program = |source: &&Source| source.module == "main" || source.module == "bin";
        for source in sources.iter().filter(|source| !is_program(source)) {
            this.add(source.module_path(), paths::names(&source.tokens));
        }
        this
    }

    fn add(&mut self, module: Vec<String>, names: Names) {
        for glob in &names.globs {
            let is_own = self.start(&module, glob).is_some();
            assert!(!is_own, "{module:?}: please import by name, not with *");
        }
        for item in &names.definitions {
            self.definitions
                .insert([&module, &*item.scope, &*item.segments].concat());
        }
        for binding in &names.bindings {
            let mut name = [&module, &*binding.path.scope].concat();
            name.push(binding.name.clone());
            self.bindings
                .insert(name, (module.clone(), binding.path.clone()));
        }
        self.files.insert(module, names);
    }

    /// Returns the file that defines the item of `path`, as written in `module`. None for items of other crates, and for modules.
    fn file_of(&self, module: &[String], path: &Mention) -> Option<Vec<String>> {
        let path = self.start(module, path)?;
        self.definition(path, MAX_REEXPORTS)
    }

    /// Returns `path` from the crate's root, before re-exports are resolved.
    fn start(&self, module: &[String], path: &Mention) -> Option<Vec<String>> {
        let from_here = || [module, &path.scope, &path.segments].concat();
        absolute(module, path).or_else(|| {
            let here = [module, &path.scope].concat();
            let name = [here.as_slice(), &path.segments[..1]].concat();
            let is_known = self.files.contains_key(&name)
                || self.definitions.contains(&name)
                || self.bindings.contains_key(&name);
            is_known.then(from_here)
        })
    }

    fn definition(&self, path: Vec<String>, reexports_left: usize) -> Option<Vec<String>> {
        let mut file: &[String] = &[];
        for end in 1..=path.len() {
            let name = &path[..end];
            let is_item = end == path.len() && self.bindings.contains_key(name);
            if self.files.contains_key(name) && !is_item {
                file = name;
            } else if let Some((module, bound)) = self.bindings.get(name)
                && !self.definitions.contains(name)
            {
                let mut target = self.start(module, bound)?;
                target.extend_from_slice(&path[end..]);
                return self.definition(target, reexports_left.checked_sub(1)?);
            } else {
                return Some(file.to_owned());
            }
        }
        None
    }
}

#[test]
fn an_import_leads_to_the_file_that_defines_the_item() {
    let parent = "mod a; mod b; mod c; mod d; pub use a::Thing; use b::{self, Other as Renamed}; pub struct Own; fn f() { b::g(); std::mem::take() }";
    let sources = [
        Source::new("lib.rs", "mod p; pub use p::Thing as Shown;"),
        Source::new("p.rs", parent),
        Source::new(
            "p/a.rs",
            "pub struct Thing; mod inner { fn h() { super::Thing::new() } }",
        ),
        Source::new(
            "p/b.rs",
            "use super::{Renamed, Thing}; pub struct Other; #[cfg(test)] mod tests { use super::super::Own; }",
        ),
        Source::new(
            "p/c.rs",
            "impl super::Own { fn i() { crate::Shown::new(); let b = 1; } }",
        ),
        Source::new(
            "p/d.rs",
            "use super::b; use crate::p; fn j() { k!(b::Thing, p::Own) }",
        ),
    ];
    let found = imports(&sources);
    let edges: Vec<_> = found
        .keys()
        .map(|(from, to)| format!("{from} > {to}"))
        .collect();
    let expected = [
        " > p/a",
        "p > p/a",
        "p > p/b",
        "p/b > p/a",
        "p/c > p",
        "p/c > p/a",
        "p/d > p",
        "p/d > p/a",
    ];
    assert_eq!(edges, expected);
}
