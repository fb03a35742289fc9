//! Two `[[hsm]]` that are one token are warned about.

use super::{GOOD, load_text};

/// The good configuration with a second HSM, whose text is the first one's with `from` replaced by `to`.
fn warnings(from: &str, to: &str) -> Vec<String> {
    let hsm = &GOOD[GOOD.find("[[hsm]]").unwrap()..GOOD.find("[[key_store]]").unwrap()];
    assert!(hsm.contains(from), "{from}");
    let second = hsm.replace("hsm-a", "hsm-b").replace(from, to);
    let text = GOOD.replace("[[key_store]]\n", &format!("{second}[[key_store]]\n"));
    let loaded = load_text(&text).unwrap();
    loaded.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn one_token_under_two_names_is_warned_about() {
    // One library under two names is one library.
    for module in [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/softhsm/../softhsm/libsofthsm2.so",
    ] {
        let found = warnings("/usr/lib/softhsm/libsofthsm2.so", module);
        assert_eq!(found.len(), 1, "{found:?}");
        let warning = "hsm[1].token: is also the token of \"hsm-a\": failover";
        assert!(found[0].contains(warning), "{found:?}");
    }
}

#[test]
fn other_tokens_and_other_libraries_are_not() {
    for (from, to) in [
        ("{ label = \"xks\" }", "{ label = \"xks-b\" }"),
        ("{ label = \"xks\" }", "{ serial = \"xks\" }"),
        ("libsofthsm2.so", "another.so"),
    ] {
        assert_eq!(warnings(from, to), [] as [String; 0], "{to}");
    }
}
