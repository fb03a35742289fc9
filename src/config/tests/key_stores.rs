//! Key stores: unique names, shared keys, versions and rotations.

use super::{GOOD, load_text};
use crate::config::{NewVersion, Original};
use crate::keystore::QuotaSettings;

#[test]
fn stores_may_share_neither_prefix_nor_access_key() {
    let store = &GOOD[GOOD.find("[[key_store]]").unwrap()..];
    let text = load_text(&format!("{GOOD}{store}"))
        .unwrap_err()
        .to_string();
    for key in [
        "key_store[1].name",
        "key_store[1].path_prefix",
        "key_store[1].credential[0].access_key_id",
    ] {
        assert!(text.contains(key), "{key} is not in:\n{text}");
    }
}

/// Returns a configuration with a second store that has separate keys.
fn second_store(keys: &str) -> String {
    format!(
        "{GOOD}[[key_store]]\nname = \"retail\"\npath_prefix = \"/retail\"\nregion = \"eu-west-1\"\n[[key_store.credential]]\n\
         access_key_id = \"XKSRETAILKEYAAAAAAAA\"\nsecret = {{ file = \"secret\" }}\n{keys}"
    )
}

#[test]
fn a_device_key_in_two_stores_is_said_twice() {
    let shared = "[[key_store.key]]\nid = \"other\"\nlabel = \"orders\"\n";
    let text = load_text(&second_store(shared)).unwrap_err().to_string();
    for key in ["key_store[0].key[0].id", "key_store[1].key[0].id"] {
        assert!(text.contains(key), "{key} is not in:\n{text}");
    }
    let once = format!("{shared}danger_shared = true\n");
    let text = load_text(&second_store(&once)).unwrap_err().to_string();
    assert!(
        text.contains("key_store[0].key[0].id") && !text.contains("key_store[1]"),
        "{text}"
    );
    let twice = second_store(&once).replace(
        "id = \"orders\"\n",
        "id = \"orders\"\ndanger_shared = true\n",
    );
    assert!(load_text(&twice).is_ok());
    // Two names of one token are one token.
    let hsm = &GOOD[GOOD.find("[[hsm]]").unwrap()..GOOD.find("[[key_store]]").unwrap()];
    let again = second_store(shared).replace(
        "[[key_store]]\nname = \"retail\"",
        &format!(
            "{}[[key_store]]\nhsms = [\"hsm-b\"]\nname = \"retail\"",
            hsm.replace("hsm-a", "hsm-b")
        ),
    );
    let text = load_text(&again).unwrap_err().to_string();
    assert!(text.contains("key_store[1].key[0].id"), "{text}");
    assert!(load_text(&second_store("[[key_store.key]]\nid = \"other\"\n")).is_ok());
}

#[test]
fn versions_quota_share_and_legacy_ciphertexts() {
    let text = GOOD
        .replace("region =", "quota = { rate = 5, burst = 9 }\nweight = 3\nlegacy_ciphertexts = [\"aws-samples-v3\"]\nregion =")
        .replace("id = \"orders\"", "id = \"orders\"\nprimary = 2\nversions = [{ version = 1, label = \"a\" }, { version = 2, cka_id = \"0b\" }]");
    let store = load_text(&text).unwrap().configuration.key_stores.remove(0);
    assert_eq!(store.quota, Some(QuotaSettings { rate: 5, burst: 9 }));
    assert_eq!((store.share, store.decrypts_aws_samples), (3, true));
    let key = &store.keys[0];
    assert_eq!(key.primary().number.0, 2);
    assert_eq!(key.primary().selector.to_string(), "id 0b");
    let numbers: Vec<_> = key.versions().map(|version| version.number.0).collect();
    assert_eq!(numbers, [2, 1]);
}

/// A rotation changes only the versions: the key that is read from its table is otherwise the same.
#[test]
fn a_key_is_read_back_from_the_table_of_a_rotation() {
    let versions = "primary = 2\nversions = [{ version = 1, label = \"a \\\"b\\\"\" }, { version = 2, cka_id = \"0bff\" }]";
    let more = "tags = { class = \"secret\", \"a b\" = \"\\u00e9\" }\nstate = \"disabled\"\ndanger_shared = true";
    for attributes in ["", versions, more, &format!("{versions}\n{more}")] {
        let text = GOOD.replace("id = \"orders\"", &format!("id = \"orders\"\n{attributes}"));
        let key = |text: &str| {
            let mut store = load_text(text).unwrap().configuration.key_stores.remove(0);
            store.keys.remove(0)
        };
        let before = key(&text);
        let highest = before.versions().map(|v| v.number.0).max().unwrap();
        for primary in [before.primary().number.0, highest + 1] {
            let new = NewVersion {
                number: highest + 1,
                label: "new \"one\"",
                primary,
            };
            let table = Original::new(text.clone())
                .rotated_key("payments", "orders", new)
                .unwrap();
            let head = GOOD.split("[[key_store.key]]").next().unwrap();
            let after = key(&format!("{head}{table}"));
            assert_eq!(after.primary().number.0, primary, "{table}");
            let old = |number| before.versions().find(|v| v.number == number).cloned();
            let mut versions: Vec<_> = after.versions().collect();
            versions.sort_by_key(|version| version.number);
            let added = versions.pop().unwrap();
            assert_eq!(added.selector.to_string(), "label \"new \\\"one\\\"\"");
            assert_eq!(versions.len(), before.versions().count());
            assert!(
                versions
                    .into_iter()
                    .all(|v| old(v.number).as_ref() == Some(v))
            );
            // Attributes of which the settings know something must be the same, whichever there are.
            assert_eq!(
                without_versions(&after),
                without_versions(&before),
                "{table}"
            );
        }
    }
}

/// All that a key has besides its versions.
fn without_versions(key: &crate::keystore::KeySettings) -> String {
    let shown = format!("{key:?}");
    let versions = [key.primary()].into_iter().chain(key.versions());
    let rest = versions.fold(shown, |shown, version| {
        shown.replace(&format!("{version:?}"), "")
    });
    rest.replace(", ", "")
}
