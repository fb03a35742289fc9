//! Text from elsewhere, for a terminal.
//!
//! # Invariants
//! - Nothing that a terminal takes for a command, for a line's end or for another direction of writing is passed on.

/// The text with all that does not simply show as itself written out, such as `\n` or `\u{202e}`.
pub(super) fn safe(text: &str) -> String {
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
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(
            safe("arn:aws:iam::1:user/Zoë \"x\" 鍵"),
            "arn:aws:iam::1:user/Zoë \"x\" 鍵"
        );
        let nasty = "\u{1b}[2J\r\n\t\u{7f}\u{9b}\u{85}\u{200b}\u{202e}\u{2028}\u{2066}\u{feff}\u{e0001}\u{0}\\";
        let told = safe(nasty);
        assert!(told.chars().all(|c| (' '..='~').contains(&c)), "{told}");
        assert!(
            told.starts_with("\\u{1b}[2J\\r\\n") && told.ends_with("\\\\"),
            "{told}"
        );
    }
}
