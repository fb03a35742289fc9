//! Finds the names in a file's tokens: definitions, names that `use` binds, and paths.
//!
//! Not found: names inside string literals (`#[serde(with = "…")]`), and definitions that a macro generates.

use crate::scanner::is_name;

/// A path as it is written, with the inline modules around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The inline modules (`mod x { … }`) that contain it, outermost first.
    pub scope: Vec<String>,
    pub segments: Vec<String>,
}

/// A name that `use` binds.
#[derive(Debug)]
pub struct Binding {
    pub name: String,
    pub path: Mention,
}

/// The names in one file.
#[derive(Debug, Default)]
pub struct Names {
    /// The items that the file defines, each as a path of one segment.
    pub definitions: Vec<Mention>,
    pub bindings: Vec<Binding>,
    /// The paths of two or more segments, in `use` and in code.
    pub paths: Vec<Mention>,
    /// The modules of glob imports (`use x::*`).
    pub globs: Vec<Mention>,
}

/// Finds the names in `tokens`.
pub fn names(tokens: &[String]) -> Names {
    let mut reader = Reader {
        tokens,
        at: 0,
        depth: 0,
        scopes: Vec::new(),
        found: Names::default(),
    };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.found
}

/// Keywords before the name of an item.
const ITEM_KEYWORDS: [&str; 9] = [
    "const", "enum", "fn", "mut", "static", "struct", "trait", "type", "union",
];

struct Reader<'a> {
    tokens: &'a [String],
    at: usize,
    /// The number of open braces.
    depth: usize,
    /// Inline modules, each with the depth outside its braces.
    scopes: Vec<(String, usize)>,
    found: Names,
}

impl Reader<'_> {
    fn step(&mut self) {
        match self.token(0) {
            "{" => self.depth += 1,
            "}" => self.close(),
            "use" if self.token(1) != "<" => {
                self.at += 1;
                self.tree(Vec::new());
                return;
            }
            "mod" if self.token(2) == "{" => self.open_module(),
            token if is_name(token) => {
                self.define();
                self.path();
                return;
            }
            _ => {}
        }
        self.at += 1;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self
            .scopes
            .last()
            .is_some_and(|(_, depth)| *depth == self.depth)
        {
            self.scopes.pop();
        }
    }

    fn open_module(&mut self) {
        let name = self.token(1).to_owned();
        self.found
            .definitions
            .push(self.mention(vec![name.clone()]));
        self.scopes.push((name, self.depth));
        self.at += 1;
    }

    /// Records the current name if it is the name of an item of this module.
    fn define(&mut self) {
        let outside = self.scopes.last().map_or(0, |(_, depth)| depth + 1);
        let follows_keyword = self.at > 0 && ITEM_KEYWORDS.contains(&self.before(1));
        let is_macro = self.at > 1 && self.before(1) == "!" && self.before(2) == "macro_rules";
        if self.depth == outside && (follows_keyword || is_macro) {
            let name = self.token(0).to_owned();
            self.found.definitions.push(self.mention(vec![name]));
        }
    }

    /// Reads the current path.
    fn path(&mut self) {
        let continues = matches!(self.before(1), "::" | ".");
        let is_visibility = self.before(1) == "in" && self.before(2) == "(";
        let mut segments = vec![self.token(0).to_owned()];
        self.at += 1;
        while self.token(0) == "::" && is_name(self.token(1)) {
            segments.push(self.token(1).to_owned());
            self.at += 2;
        }
        if segments.len() > 1 && !continues && !is_visibility {
            self.found.paths.push(self.mention(segments));
        }
    }

    /// Reads a tree of `use` below `prefix`, up to the token after it.
    fn tree(&mut self, prefix: Vec<String>) {
        let mut segments = prefix;
        loop {
            let token = self.token(0).to_owned();
            self.at += 1;
            match token.as_str() {
                "{" => return self.branches(&segments),
                "*" => return self.found.globs.push(self.mention(segments)),
                // A path with a leading `::` belongs to another crate: no segment has this name.
                "::" if segments.is_empty() => segments.push(token),
                "self" if !segments.is_empty() => {}
                _ => segments.push(token),
            }
            if self.token(0) != "::" {
                return self.bind(segments);
            }
            self.at += 1;
        }
    }

    fn branches(&mut self, prefix: &[String]) {
        while self.token(0) != "}" {
            self.tree(prefix.to_vec());
            if self.token(0) == "," {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    fn bind(&mut self, segments: Vec<String>) {
        let mut name = segments.last().cloned().unwrap_or_default();
        if self.token(0) == "as" {
            name = self.token(1).to_owned();
            self.at += 2;
        }
        let path = self.mention(segments);
        if path.segments.len() > 1 {
            self.found.paths.push(path.clone());
        }
        self.found.bindings.push(Binding { name, path });
    }

    fn mention(&self, segments: Vec<String>) -> Mention {
        let scope = self.scopes.iter().map(|(name, _)| name.clone()).collect();
        Mention { scope, segments }
    }

    fn token(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", String::as_str)
    }

    fn before(&self, back: usize) -> &str {
        let at = self.at.checked_sub(back);
        at.and_then(|at| self.tokens.get(at))
            .map_or("", String::as_str)
    }
}

#[test]
fn names_are_found_wherever_they_are_written() {
    let text = "
        pub use self::child::Thing;
        use crate::{a::{self, B as C}, d::*};
        pub(in crate::e) struct Item<T: f::Bound>(Vec::<u8>);
        impl Item { fn method() -> super::Other { g::h::call(x.y, Vec::<u8>::new()) } }
        mod inline { pub fn inner() { super::outer() } }
        macro_rules! made { () => { $crate::j::k } }
    ";
    let found = names(&crate::scanner::scan(text).tokens);
    let written = |mentions: &[Mention]| -> Vec<String> {
        let one = |m: &Mention| [m.scope.as_slice(), &m.segments].concat().join("::");
        mentions.iter().map(one).collect()
    };
    assert_eq!(
        written(&found.paths),
        [
            "self::child::Thing",
            "crate::a",
            "crate::a::B",
            "f::Bound",
            "super::Other",
            "g::h::call",
            "inline::super::outer",
            "crate::j::k"
        ]
    );
    assert_eq!(written(&found.globs), ["crate::d"]);
    assert_eq!(
        written(&found.definitions),
        ["Item", "inline", "inline::inner", "made"]
    );
    let bound: Vec<_> = found.bindings.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(bound, ["Thing", "a", "C"]);
}
