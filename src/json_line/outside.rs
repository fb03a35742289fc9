//! Text from outside, limited for the log and the audit trail.
//!
//! # Invariants
//! - A text takes at most [`MAX_LOGGED`] bytes of a line, escapes included. A mark follows a text that was cut.
//! - The mark contains the original length, so that a reader does not take the beginning for the whole text.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

/// The maximum length of a text from outside in a line, in bytes. The longest ARN has 2,048 characters and fits.
pub const MAX_LOGGED: usize = 2_048;

/// The maximum length of one escaped byte, such as `\u007f`, in bytes.
const WORST_ESCAPE: usize = 6;

/// A text from a client, a device or a file, cut to [`MAX_LOGGED`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideText<'a>(Cow<'a, str>);

impl OutsideText<'_> {
    /// Returns the maximum length of the text in a line, in bytes.
    pub fn logged_length(&self) -> usize {
        self.0.chars().map(escaped_length).sum()
    }

    /// Returns the text, or its beginning and the mark with its length.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for OutsideText<'a> {
    fn from(text: &'a str) -> Self {
        // Nearly all texts are so short that they fit even if every byte is escaped.
        if text.len() <= MAX_LOGGED / WORST_ESCAPE {
            return Self(text.into());
        }
        match text.get(..length_within_limit(text)) {
            Some(kept) if kept.len() < text.len() => {
                Self(format!("{kept}[cut, {} bytes in all]", text.len()).into())
            }
            _ => Self(text.into()),
        }
    }
}

impl From<Cow<'static, str>> for OutsideText<'static> {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => match OutsideText::from(&*text).0 {
                Cow::Borrowed(_) => Self(text.into()),
                Cow::Owned(cut) => Self(cut.into()),
            },
        }
    }
}

impl fmt::Display for OutsideText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for OutsideText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Returns how many bytes of the text fit into [`MAX_LOGGED`].
fn length_within_limit(text: &str) -> usize {
    let mut remaining = MAX_LOGGED;
    for (at, character) in text.char_indices() {
        match remaining.checked_sub(escaped_length(character)) {
            Some(left) => remaining = left,
            None => return at,
        }
    }
    text.len()
}

/// Returns the length of a character in a line of printable ASCII, in bytes. It is the longer of its two escaped forms.
fn escaped_length(character: char) -> usize {
    match character {
        '"' | '\\' => 2,
        ' '..='~' => 1,
        '\u{0}'..='\u{ffff}' => WORST_ESCAPE,
        _ => 2 * WORST_ESCAPE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_line::write_ascii;

    fn logged(text: &str) -> String {
        OutsideText::from(text).as_str().to_owned()
    }

    #[test]
    fn a_text_that_fits_is_not_changed() {
        let longest = "a".repeat(MAX_LOGGED);
        for text in ["", "é\n\"", &"\u{7f}".repeat(341), &longest] {
            assert_eq!(logged(text), text);
        }
    }

    #[test]
    fn a_text_that_does_not_fit_is_cut_and_marked() {
        let text = "a".repeat(MAX_LOGGED + 1);
        let expected = format!("{}[cut, 2049 bytes in all]", &text[1..]);
        assert_eq!(logged(&text), expected);
        assert!(logged(&"\u{7f}".repeat(60_000)).ends_with("\u{7f}[cut, 60000 bytes in all]"));
    }

    #[test]
    fn no_text_takes_more_of_a_line_than_its_limit() {
        for character in ['a', '"', '\n', '\u{7f}', 'é', '\u{2028}', '😀'] {
            let text: String = std::iter::repeat_n(character, 100_000).collect();
            let mut line = Vec::new();
            write_ascii(&mut line, &OutsideText::from(&*text)).unwrap();
            assert!(
                line.len() < MAX_LOGGED + 40,
                "{character:?}: {}",
                line.len()
            );
        }
    }
}
