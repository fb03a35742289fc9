//! Splits Rust text into tokens, without comments, literals and test code.
//!
//! A token is a name, `::` or one character. Only the syntax that the sources of this project use is supported.

/// The tokens of one file.
pub struct Scan {
    pub tokens: Vec<String>,
    /// Modules that the file declares under `#[cfg(test)]`: their files are test code.
    pub test_modules: Vec<String>,
}

/// The attribute of items that only tests compile.
const TEST_ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

/// Splits `text` into tokens.
pub fn scan(text: &str) -> Scan {
    let mut found = Scan {
        tokens: Vec::new(),
        test_modules: Vec::new(),
    };
    let all = tokens(text);
    let mut rest = all.as_slice();
    while let Some(token) = rest.first() {
        let length = if starts_with(rest, &TEST_ATTRIBUTE) {
            test_item(rest, &mut found.test_modules)
        } else {
            found.tokens.push((*token).to_owned());
            1
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    found
}

/// Returns whether `tokens` contain `wanted` as a sequence.
pub fn contains(tokens: &[String], wanted: &[&str]) -> bool {
    count(tokens, wanted) > 0
}

/// Returns how many times `tokens` contain `wanted` as a sequence.
pub fn count(tokens: &[String], wanted: &[&str]) -> usize {
    let windows = tokens.windows(wanted.len());
    windows.filter(|window| *window == wanted).count()
}

/// Returns whether `token` is a name or a keyword.
pub fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn starts_with(tokens: &[&str], wanted: &[&str]) -> bool {
    tokens.get(..wanted.len()) == Some(wanted)
}

/// The keywords of items. Without one of them, the attribute belongs to a field or to its value.
const ITEMS: [&str; 10] = [
    "const", "enum", "fn", "impl", "mod", "static", "struct", "trait", "type", "use",
];

/// Returns the length of a test item with its attribute. It ends at the first `;` outside of brackets, or at the end of the first block. A field ends
/// at the next comma, or before the bracket that closes its struct.
fn test_item(tokens: &[&str], modules: &mut Vec<String>) -> usize {
    let mut depth = 0_usize;
    let mut is_item = false;
    for (at, token) in tokens.iter().enumerate().skip(TEST_ATTRIBUTE.len()) {
        is_item |= ITEMS.contains(token);
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return at,
            ")" | "]" | "}" => depth -= 1,
            "mod" if depth == 0 => {
                modules.extend(tokens.get(at + 1).map(|name| (*name).to_owned()))
            }
            _ => {}
        }
        if depth == 0 && (matches!(*token, ";" | "}") || *token == "," && !is_item) {
            return at + 1;
        }
    }
    tokens.len()
}

fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let length = skipped(rest).unwrap_or_else(|| {
            let length = token_length(rest);
            found.push(&rest[..length]);
            length
        });
        rest = &rest[length..];
    }
    found
}

fn token_length(rest: &str) -> usize {
    let first = rest.chars().next().map_or(0, char::len_utf8);
    match name_length(rest) {
        0 if rest.starts_with("::") => 2,
        0 => first,
        length => length,
    }
}

fn name_length(rest: &str) -> usize {
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    end.unwrap_or(rest.len())
}

/// Returns the length of the white space, comment or literal at the start of `rest`.
fn skipped(rest: &str) -> Option<usize> {
    let white = rest.len() - rest.trim_start().len();
    if white > 0 {
        return Some(white);
    }
    comment(rest)
        .or_else(|| string(rest))
        .or_else(|| character_or_lifetime(rest))
        .or_else(|| number(rest))
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    assert!(!rest.starts_with("/*"), "please write comments with //");
    None
}

fn string(rest: &str) -> Option<usize> {
    let unprefixed = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let (body, length) = match unprefixed.strip_prefix('"') {
        Some(body) => (body, escaped_length(body, '"')?),
        None => raw_string(unprefixed.strip_prefix('r')?)?,
    };
    Some(rest.len() - body.len() + length)
}

/// Returns the text after the opening quote of a raw string, and its length up to the end of the literal.
fn raw_string(after_r: &str) -> Option<(&str, usize)> {
    let unhashed = after_r.trim_start_matches('#');
    let hashes = &after_r[..after_r.len() - unhashed.len()];
    let body = unhashed.strip_prefix('"')?;
    let end = format!("\"{hashes}");
    Some((body, body.find(&end)? + end.len()))
}

fn character_or_lifetime(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('\'')?;
    let is_character = body.starts_with('\\') || body.chars().nth(1) == Some('\'');
    let length = if is_character {
        escaped_length(body, '\'')?
    } else {
        name_length(body)
    };
    Some(rest.len() - body.len() + length)
}

fn number(rest: &str) -> Option<usize> {
    let is_number = rest.starts_with(|c: char| c.is_ascii_digit());
    is_number.then(|| name_length(rest))
}

/// Returns the length of a literal from after its opening quote through its closing one.
fn escaped_length(body: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    let end = body.find(|c| {
        let ends = !is_escaped && c == quote;
        is_escaped = !is_escaped && c == '\\';
        ends
    });
    end.map(|at| at + 1)
}

#[test]
fn only_code_becomes_tokens() {
    let text = r##"
        use a::b; // use c::d;
        /// e::f
        let text = "g::h" + r#"i"::j"# + b"\"k::l";
        let c = ['"', '\'', b'\\', 'é']; fn m<'n>(o: &'n str) -> 0x1f {}
    "##;
    let joined = scan(text).tokens.join(" ");
    assert_eq!(
        joined,
        "use a :: b ; let text = + + ; let c = [ , , , ] ; fn m < > ( o : & str ) - > { }"
    );
}

#[test]
fn test_code_is_left_out() {
    let text = "
        #[cfg(test)]
        mod vectors;
        fn a() {}
        #[cfg(test)]
        pub(super) fn b(x: [u8; 2]) { c() }
        #[cfg(test)]
        mod tests { fn d() {} }
        fn e() {}
    ";
    let found = scan(text);
    assert_eq!(found.tokens.join(""), "fna(){}fne(){}");
    assert_eq!(found.test_modules, ["vectors", "tests"]);
}

#[test]
fn test_fields_are_left_out() {
    let text = "
        struct A { b: u8, #[cfg(test)] c: Vec<u8>, d: u8, #[cfg(test)] e: u8 }
        fn f() -> A { A { b: 1, #[cfg(test)] c: g(1, 2) } }
    ";
    let tokens = scan(text).tokens.join("");
    assert_eq!(tokens, "structA{b:u8,d:u8,}fnf()->A{A{b:,}}");
}
