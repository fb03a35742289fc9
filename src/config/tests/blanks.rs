//! Blank names are errors with their place: such a name matches nothing, or something that its author does not know of.

use super::{GOOD, faults, load_text};

const CLIENT_AUTH: &str = "[server.tls.client_auth]\nca = \"amazon-trust-services\"\nsubjects = ";

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_blank_name_is_an_error_wherever_it_is() {
    for blank in ["", " ", "\\t", "\\u00a0"] {
        let problem = match blank {
            "" => "is empty",
            _ => "has only blanks",
        };
        for (from, to, place) in [
            ("name = \"hsm-a\"", "name = \"{}\"", "hsm[0].name: "),
            ("/usr/lib/softhsm/libsofthsm2.so", "{}", "hsm[0].module: "),
            (
                "{ label = \"xks\" }",
                "{ label = \"{}\" }",
                "hsm[0].token.label: ",
            ),
            (
                "{ label = \"xks\" }",
                "{ serial = \"{}\" }",
                "hsm[0].token.serial: ",
            ),
            (
                "token = {",
                "health_key = \"{}\"\ntoken = {",
                "hsm[0].health_key: ",
            ),
            (
                "token = {",
                "parameters = \"{}\"\ntoken = {",
                "hsm[0].parameters: ",
            ),
            ("server.pem", "{}", "server.tls.certificate: "),
            ("server.key", "{}", "server.tls.private_key: "),
            (
                "name = \"payments\"",
                "name = \"{}\"",
                "key_store[0].name: ",
            ),
            (
                "region = \"eu-west-1\"",
                "region = \"{}\"",
                "key_store[0].region: ",
            ),
            (
                "XKSPAYMENTSKEYAAAAAA",
                "{}",
                "key_store[0].credential[0].access_key_id: ",
            ),
            ("id = \"orders\"", "id = \"{}\"", "key_store[0].key[0].id: "),
            (
                "id = \"orders\"",
                "id = \"orders\"\nlabel = \"{}\"",
                "key_store[0].key[0].label: ",
            ),
            (
                "id = \"orders\"",
                "id = \"orders\"\ntags = { \"{}\" = \"x\" }",
                "key_store[0].key[0].tags: has a tag whose name ",
            ),
            ("[[hsm]]", "[audit]\npath = \"{}\"\n[[hsm]]", "audit.path: "),
            (
                "[[hsm]]",
                "[audit]\npath = \"a\"\nkey = \"{}\"\n[[hsm]]",
                "audit.key: ",
            ),
            (
                "[[hsm]]",
                "[policy]\nengine = \"cedar\"\npath = \"{}\"\n[[hsm]]",
                "policy.path: ",
            ),
            (
                "[[hsm]]",
                "[server.tls.client_auth]\nca = \"{}\"\nsubjects = [\"a\"]\n[[hsm]]",
                "server.tls.client_auth.ca: ",
            ),
        ] {
            let text = faults(from, &to.replace("{}", blank));
            let fault = format!("{place}{problem}");
            assert!(text.contains(&fault), "{fault} is not in:\n{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }
}

#[test]
fn a_blank_name_in_a_list_is_an_error_wherever_the_list_is() {
    for (name, what) in [
        ("", "is empty"),
        ("  ", "has only blanks"),
        ("kms ", "begins or ends with a blank"),
        ("\\u00a0kms", "begins or ends with a blank"),
    ] {
        for (from, to, place) in [
            (
                "[[hsm]]",
                format!("{CLIENT_AUTH}[\"cks.kms.eu-west-1.amazonaws.com\", \"{name}\"]\n[[hsm]]"),
                "server.tls.client_auth.subjects",
            ),
            (
                "[server.tls]",
                format!("[server.limits]\nshared_sources = [\"{name}\"]\n[server.tls]"),
                "server.limits.shared_sources",
            ),
            (
                "path_prefix",
                format!("hsms = [\"hsm-a\", \"{name}\"]\npath_prefix"),
                "key_store[0].hsms",
            ),
            (
                "path_prefix",
                format!("legacy_ciphertexts = [\"{name}\"]\npath_prefix"),
                "key_store[0].legacy_ciphertexts",
            ),
        ] {
            let text = faults(from, &to);
            let is_said = |line: &str| line.contains(place) && line.contains(what);
            assert!(
                text.lines().any(is_said),
                "{place} {what} is not in:\n{text}"
            );
        }
    }
}

/// The value of a tag is compared by policies, and an empty one is a value.
#[test]
fn the_value_of_a_tag_may_be_empty() {
    let tagged = GOOD.replace(
        "id = \"orders\"",
        "id = \"orders\"\ntags = { class = \"\" }",
    );
    assert!(load_text(&tagged).is_ok());
}
