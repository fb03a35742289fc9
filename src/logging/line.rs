//! Writes each event as one line, whatever its texts contain; for systemd's journal with the level in front.
//!
//! # Invariants
//! - The text of an event contains one line end, at its end.
//! - No control character of a field, a message or an error text is written unescaped, nor a character that a terminal, a pager or a line
//!   reader could interpret as one. The only exception are colours on a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::queue::Queue;
use super::settings::LogFormat;

/// The destination and the form of lines.
pub(super) struct Sink {
    pub(super) queue: Arc<Queue>,
    pub(super) format: LogFormat,
    /// True if the formatting layer writes colours as escape sequences.
    pub(super) has_colours: bool,
    /// True if the journal reads the output, and lines begin with a priority.
    pub(super) has_priorities: bool,
}

/// The writer of one line. The formatting layer writes a line with one call.
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

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        let priority = match self.has_priorities {
            true => priority(*metadata.level()),
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

/// Returns the priority prefix of a level (sd-daemon(3)).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

/// Escapes hidden characters. In JSON, where characters below U+0020 are escaped already, the value stays the same.
fn safe(text: &[u8], format: LogFormat, has_colours: bool) -> Cow<'_, [u8]> {
    if text.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 64);
    for character in String::from_utf8_lossy(text).chars() {
        let is_colour = has_colours && character == '\u{1b}';
        match (is_hidden(character) && !is_colour, format) {
            (false, _) => safe.push(character),
            // All hidden characters have four digits. Writing to a string cannot fail.
            (true, LogFormat::Json) => drop(write!(safe, "\\u{:04x}", u32::from(character))),
            (true, LogFormat::Text) => safe.extend(character.escape_default()),
        }
    }
    Cow::Owned(safe.into_bytes())
}

/// Returns whether a character is a control character, a Unicode line end, or changes the writing direction: it could make a line look
/// different from its content.
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
    fn hidden_characters_are_escaped() {
        let text = "a\nb\r\u{1b}[31m\u{9b}31m\u{7f}\u{85}\u{2028}\u{202e}é€😀";
        let escaped = shown(text, LogFormat::Text);
        assert_eq!(
            escaped,
            "a\\nb\\r\\u{1b}[31m\\u{9b}31m\\u{7f}\\u{85}\\u{2028}\\u{202e}é€😀"
        );
    }

    #[test]
    fn escaping_keeps_the_value_of_json() {
        let text = "a\n\u{1b}[31m\u{9b}\u{7f}\u{85}\u{2029}\u{2066}é😀";
        let line = serde_json::to_string(text).unwrap();
        let escaped = shown(&line, LogFormat::Json);
        assert!(!escaped.chars().any(is_hidden), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }

    #[test]
    fn only_colours_of_the_formatting_layer_are_not_escaped() {
        let coloured = safe(b"\x1b[31mred\n", LogFormat::Text, true);
        assert_eq!(coloured, b"\x1b[31mred\\n".as_slice());
    }

    #[test]
    fn levels_have_the_priorities_of_the_journal() {
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
