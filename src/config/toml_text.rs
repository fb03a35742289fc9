//! TOML as text, for configurations that commands write.

/// `text` as a TOML basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // TOML takes no control character as it is, DEL included.
            control if control.is_ascii_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

/// `name` as the key of a TOML table: quoted only where it has to be.
pub(super) fn bare_or_quoted(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !name.is_empty() && name.chars().all(is_bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

/// `texts` as a TOML array of strings.
pub(super) fn list(texts: &[&str]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| self::quoted(text)).collect();
    format!("[{}]", quoted.join(", "))
}

/// A `[[key_store.credential]]` whose secret is in a file.
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
    fn every_text_is_read_back_as_it_was() {
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
    fn a_credential_table_holds_the_file_and_not_more() {
        assert_eq!(
            credential_table("ID", "/a \"b\"/c"),
            "[[key_store.credential]]\naccess_key_id = \"ID\"\nsecret = { file = \"/a \\\"b\\\"/c\" }\n"
        );
        assert_eq!(list(&["a", "b\\"]), r#"["a", "b\\"]"#);
    }
}
