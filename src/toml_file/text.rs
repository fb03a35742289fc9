//! Writes TOML, for commands that print or write parts of a configuration.

/// Returns `text` as a TOML basic string.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // TOML permits no unescaped control character in a basic string, including DEL.
            control if control.is_ascii_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns `name` as a TOML key, quoted only if necessary.
pub(crate) fn bare_or_quoted(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !name.is_empty() && name.chars().all(is_bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

/// Returns `texts` as a TOML array of strings.
pub(crate) fn list(texts: &[&str]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| self::quoted(text)).collect();
    format!("[{}]", quoted.join(", "))
}

/// Returns a `[[key_store.credential]]` table whose secret is in a file.
pub fn credential_table(access_key_id: &str, secret_file: &str) -> String {
    format!(
        "[[key_store.credential]]\naccess_key_id = {}\nsecret = {{ file = {} }}\n",
        quoted(access_key_id),
        quoted(secret_file)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::de::DeTable;

    fn read_back(line: &str) -> Option<String> {
        let table = DeTable::parse(line).unwrap();
        let value = table.get_ref().get("x")?.get_ref();
        value.as_str().map(str::to_owned)
    }

    #[test]
    fn every_quoted_text_is_read_back_unchanged() {
        let characters: String = (0..0x3000).filter_map(char::from_u32).collect();
        for text in [
            &*characters,
            "",
            "\\u0041",
            "\"\"\"",
            "'",
            "a\r\nb",
            "😀 \\",
            "# no comment",
        ] {
            let line = format!("x = {}", quoted(text));
            assert_eq!(read_back(&line).as_deref(), Some(text), "{line}");
        }
    }

    #[test]
    fn a_credential_table_names_the_secret_file() {
        assert_eq!(
            credential_table("ID", "/a \"b\"/c"),
            "[[key_store.credential]]\naccess_key_id = \"ID\"\nsecret = { file = \"/a \\\"b\\\"/c\" }\n"
        );
        assert_eq!(list(&["a", "b\\"]), r#"["a", "b\\"]"#);
    }
}
