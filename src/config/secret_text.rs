//! The text of a secret, exactly as it is meant: an HSM counts an attempt for each blank too many.

use crate::secret::Secret;

/// The byte order mark that some editors put before a text.
const BOM: char = '\u{feff}';

/// Returns the secret without the line end that editors put behind it.
///
/// # Errors
/// The problem with the text, which is not quoted.
pub(super) fn parse(bytes: &[u8]) -> Result<Secret, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the secret is not UTF-8 text")?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    match problem(text) {
        Some(problem) => Err(problem),
        None => Ok(Secret::new(text.to_owned())),
    }
}

fn problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("the secret is empty");
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
        return Some("the secret has more than one line; one line end behind it is allowed");
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
    fn one_line_end_is_no_part_of_the_secret() {
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
    fn what_an_hsm_would_refuse_is_an_error_that_shows_nothing() {
        for (bytes, what) in [
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
            assert!(problem.contains(what), "{bytes:?}: {problem}");
            assert!(!problem.contains("12"), "{problem}");
        }
    }
}
