//! Secrets with characters that nobody sees.

use std::fs;

use super::{GOOD, directory, parse};

#[test]
fn an_invisible_character_in_a_pin_is_warned_about_and_not_shown() {
    for (pin, class) in [
        ("1234\u{200b}\n", "class Cf"),
        ("12\u{2060}34", "class Cf"),
        ("12\u{a0}34\n", "class Z"),
    ] {
        let directory = directory();
        fs::write(directory.path().join("pin"), pin).unwrap();
        let warnings = parse(GOOD, directory.path()).unwrap().warnings;
        let [warning] = &warnings[..] else {
            panic!("{pin:?}: {warnings:?}");
        };
        assert!(warning.message.contains(class), "{warning}");
        assert_eq!(
            (&*warning.key, warning.line.is_some()),
            ("hsm[0].pin", true)
        );
        assert!(!warning.to_string().contains("1234"), "{warning}");
    }
}
