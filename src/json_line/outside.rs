//! Text from outside as it is written to the log and to the audit trail.
//!
//! # Invariants
//! - One text takes at most [`MAX_LOGGED`] bytes of a line, escapes included, and the mark of a cut.
//! - A text that was cut says so, with its original length: nobody takes the beginning for the whole.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

/// The most bytes that one text from outside takes in a line. The longest ARN, of 2,048 characters, fits.
pub const MAX_LOGGED: usize = 2_048;

/// The most bytes that one byte of a text takes when it is escaped: `\u007f`.
const WORST_ESCAPE: usize = 6;

/// A text that a client, a device or a file has chosen, within its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideText<'a>(Cow<'a, str>);

impl OutsideText<'_> {
    /// How many bytes it takes of a line at most.
    pub fn logged_length(&self) -> usize {
        self.0.chars().map(escaped_length).sum()
    }

    /// The text, or its beginning and how long it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for OutsideText<'a> {
    fn from(text: &'a str) -> Self {
        // Nearly all texts are so short that no escape can make them too long.
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

/// How many bytes of the text have room within [`MAX_LOGGED`].
fn length_within_limit(text: &str) -> usize {
    let mut room = MAX_LOGGED;
    for (at, character) in text.char_indices() {
        match room.checked_sub(escaped_length(character)) {
            Some(left) => room = left,
            None => return at,
        }
    }
    text.len()
}

/// What a character takes in a line that is printable ASCII: the longer of its two forms.
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
    fn what_fits_is_whole() {
        let longest = "a".repeat(MAX_LOGGED);
        for text in ["", "é\n\"", &"\u{7f}".repeat(341), &longest] {
            assert_eq!(logged(text), text);
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_and_says_so() {
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
