//! One event, one line, whatever its texts hold; for systemd's journal with its level in front.
//!
//! # Invariants
//! - What is written of an event ends with its only line end.
//! - No control character, and nothing that a terminal, a pager or a reader of lines may take for one, is written raw: not of a field, not of
//!   a message, not of an error's text. Only colours are, and only on a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::queue::Queue;
use super::settings::LogFormat;

/// Where the lines go, and how they look.
pub(super) struct Sink {
    pub(super) queue: Arc<Queue>,
    pub(super) format: LogFormat,
    /// Escape sequences are ours.
    pub(super) has_colours: bool,
    /// The journal reads.
    pub(super) has_priorities: bool,
}

/// The line of one event. The formatting layer writes it at once.
pub(super) struct Line<'a> {
    sink: &'a Sink,
    priority: &'static str,
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            sink: self,
            priority: "",
        }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Line<'a> {
        let priority = match self.has_priorities {
            true => priority(*of.level()),
            false => "",
        };
        Line {
            sink: self,
            priority,
        }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let safe = safe(text, self.sink.format, self.sink.has_colours);
        let parts = [self.priority.as_bytes(), &safe, b"\n"];
        self.sink.queue.push(&parts);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The level as the journal reads it (sd-daemon(3)).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

/// The text with escapes for all that is not to be raw. In JSON, which has its escapes below U+0020 already, it stays the same text.
fn safe(text: &[u8], format: LogFormat, has_colours: bool) -> Cow<'_, [u8]> {
    if text.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 64);
    for character in String::from_utf8_lossy(text).chars() {
        let is_ours = has_colours && character == '\u{1b}';
        match (is_hidden(character) && !is_ours, format) {
            (false, _) => safe.push(character),
            // All of them have four digits; a string takes every text.
            (true, LogFormat::Json) => drop(write!(safe, "\\u{:04x}", u32::from(character))),
            (true, LogFormat::Text) => safe.extend(character.escape_default()),
        }
    }
    Cow::Owned(safe.into_bytes())
}

/// Control characters, line ends of Unicode, and what turns the direction of writing: a reader would see another line than there is.
fn is_hidden(character: char) -> bool {
    let is_formatting = matches!(
        character,
        '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    );
    character.is_control() || is_formatting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, format: LogFormat) -> String {
        String::from_utf8(safe(text.as_bytes(), format, false).into_owned()).unwrap()
    }

    #[test]
    fn what_is_not_to_be_raw_is_escaped() {
        let text = "a\nb\r\u{1b}[31m\u{9b}31m\u{7f}\u{85}\u{2028}\u{202e}é€😀";
        let escaped = shown(text, LogFormat::Text);
        assert_eq!(
            escaped,
            "a\\nb\\r\\u{1b}[31m\\u{9b}31m\\u{7f}\\u{85}\\u{2028}\\u{202e}é€😀"
        );
    }

    #[test]
    fn json_stays_the_same_text() {
        let text = "a\n\u{1b}[31m\u{9b}\u{7f}\u{85}\u{2029}\u{2066}é😀";
        let line = serde_json::to_string(text).unwrap();
        let escaped = shown(&line, LogFormat::Json);
        assert!(!escaped.chars().any(is_hidden), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }

    #[test]
    fn only_colours_of_ours_are_raw() {
        let coloured = safe(b"\x1b[31mred\n", LogFormat::Text, true);
        assert_eq!(coloured, b"\x1b[31mred\\n".as_slice());
    }

    #[test]
    fn levels_are_the_journals() {
        let levels = [
            Level::ERROR,
            Level::WARN,
            Level::INFO,
            Level::DEBUG,
            Level::TRACE,
        ];
        assert_eq!(levels.map(priority), ["<3>", "<4>", "<6>", "<7>", "<7>"]);
    }
}
