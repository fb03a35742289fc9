//! Escapes untrusted text for output on a terminal.
//!
//! # Invariants
//! - The output contains no control character, no line end and no character that changes the direction of writing.

/// Returns the text with escape sequences, such as `\n` or `\u{202e}`, for all characters that are not visible.
pub(in crate::cli) fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' => safe.push(character),
            other => safe.extend(other.escape_debug()),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn characters_that_control_a_terminal_are_escaped() {
        assert_eq!(
            safe("arn:aws:iam::1:user/Zoë \"x\" 鍵"),
            "arn:aws:iam::1:user/Zoë \"x\" 鍵"
        );
        let hostile = "\u{1b}[2J\r\n\t\u{7f}\u{9b}\u{85}\u{200b}\u{202e}\u{2028}\u{2066}\u{feff}\u{e0001}\u{0}\\";
        let escaped = safe(hostile);
        assert!(
            escaped.chars().all(|c| (' '..='~').contains(&c)),
            "{escaped}"
        );
        assert!(
            escaped.starts_with("\\u{1b}[2J\\r\\n") && escaped.ends_with("\\\\"),
            "{escaped}"
        );
    }
}
