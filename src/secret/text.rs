//! Parses the text of a secret strictly. A superfluous blank in a PIN would be a failed login attempt at the HSM.

use super::Secret;

/// The byte order mark that some editors write at the beginning of a file.
const BOM: char = '\u{feff}';

/// The problem of an empty secret.
pub const EMPTY: &str = "the secret is empty";

/// Parses the content of a secret's file or environment variable. The secret is the text without the line end that editors append.
///
/// # Errors
/// Returns the problem with the text. The problem does not quote the text.
pub fn parse(bytes: &[u8]) -> Result<Secret, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the secret is not UTF-8 text")?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    match problem(text) {
        Some(problem) => Err(problem),
        None => Ok(Secret::new(text.to_owned())),
    }
}

/// Returns a warning about a secret with a character that editors do not show, because such a PIN is probably wrong. The warning names the class of the
/// character, never the character or its position. `None` if the secret has no such character, or if it is not UTF-8 text.
pub fn warning(bytes: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.contains(is_invisible) {
        return Some(
            "the secret has an invisible character in it (Unicode class Cf or a filler, such as a zero-width space); check that it belongs there",
        );
    }
    let is_odd_blank = |character: char| character.is_whitespace() && character != ' ';
    text.contains(is_odd_blank).then_some(
        "the secret has a blank in it that is not U+0020 (Unicode class Z, such as a no-break space); check that it belongs there",
    )
}

/// Returns whether the character has no visible glyph: format characters (Cf), and letters and marks that are displayed as nothing.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1345f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some(EMPTY);
    }
    if text.contains(BOM) {
        return Some("the secret has a byte order mark (BOM) in it; save it as UTF-8 without one");
    }
    if text.ends_with('\r') {
        return Some(
            "the secret ends with a Windows line end (CRLF); end the line with LF, or not at all",
        );
    }
    if text.contains(['\n', '\r']) {
        return Some("the secret has more than one line; one line end after it is allowed");
    }
    if text.trim() != text {
        return Some("the secret begins or ends with a blank; remove it");
    }
    if text.contains(char::is_control) {
        return Some("the secret has a control character in it; remove it");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_removed() {
        for (bytes, secret) in [
            ("1234", "1234"),
            ("1234\n", "1234"),
            ("user:pass word\n", "user:pass word"),
            ("pässwörd", "pässwörd"),
        ] {
            assert_eq!(parse(bytes.as_bytes()).unwrap().expose(), secret);
        }
    }

    #[test]
    fn invisible_characters_cause_a_warning_that_does_not_show_the_secret() {
        for (text, class) in [
            ("12\u{200b}34", "class Cf"),
            ("1234\u{200b}\n", "class Cf"),
            ("\u{2060}1234", "class Cf"),
            ("12\u{ad}34", "class Cf"),
            ("12\u{e0041}34", "class Cf"),
            ("12\u{a0}34", "class Z"),
            ("12\u{2009}34", "class Z"),
            ("12\u{3000}34", "class Z"),
            ("12\u{2028}34", "class Z"),
        ] {
            assert!(parse(text.as_bytes()).is_ok(), "{text:?}");
            let warning = warning(text.as_bytes()).unwrap();
            assert!(warning.contains(class), "{text:?}: {warning}");
            assert!(
                !warning.contains("12") && !warning.contains("34"),
                "{warning}"
            );
        }
        for text in ["1234\n", "user:pass word\n", "pässwörd", "密码", "пароль"] {
            assert_eq!(warning(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_malformed_secret_is_an_error_that_does_not_show_the_secret() {
        for (bytes, expected) in [
            (&b""[..], "is empty"),
            (b"\n", "is empty"),
            (b"1234\n\n", "more than one line"),
            (b"1234\n5678\n", "more than one line"),
            (b"\n1234\n", "more than one line"),
            (b"12\r34", "more than one line"),
            (b"1234\r\n", "CRLF"),
            (b"1234\r", "CRLF"),
            (b" 1234", "a blank"),
            (b"1234 \n", "a blank"),
            (b"1234\t\n", "a blank"),
            ("1234\u{a0}".as_bytes(), "a blank"),
            (b"\xef\xbb\xbf1234\n", "byte order mark"),
            (b"\xff\xfe1\x002\x00", "not UTF-8"),
            (b"1234\0", "control character"),
            (b"12\x7f34", "control character"),
        ] {
            let problem = parse(bytes).unwrap_err();
            assert!(problem.contains(expected), "{bytes:?}: {problem}");
            assert!(!problem.contains("12"), "{problem}");
        }
    }
}
