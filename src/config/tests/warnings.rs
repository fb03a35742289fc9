//! Warnings: each rule has its warning, and a good configuration has none.

use super::{GOOD, load_text};

/// The text is that of the specification of this warning.
const REQUIRED: &str = "server.tls.client_auth.mode: client_auth.mode = \"required\": AWS deprecates mTLS; once KMS shows no clientAuth certificate all requests fail; use \"optional\"";

/// A text of the good configuration, what it is replaced by, and the warning about that.
const WARNINGS: [(&str, &str, &str); 14] = [
    (
        "\"/payments\"",
        "\"/payments/kms/xks/v1\"",
        "key_store[0].path_prefix: looks like a whole XksProxyUriPath, but /kms/xks/v1 is appended to the prefix; \
             write \"/payments\" if KMS calls /payments/kms/xks/v1",
    ),
    (
        "\"/payments\"",
        "\"/kms/xks/v1\"",
        "write \"\" if KMS calls /kms/xks/v1",
    ),
    (
        "\"eu-west-1\"",
        "\"euwest\"",
        "key_store[0].region: \"euwest\" is not the name of a known",
    ),
    (
        "\"eu-west-1\"",
        "\"us-east-1a\"",
        "its region is \"us-east-1\"",
    ),
    (
        "{ label = \"xks\" }",
        "{ label = \"a-label-that-is-longer-than-32-bytes\" }",
        "hsm[0].token.label: has 36 bytes, but the label of a token has at most 32",
    ),
    // Bytes, not characters.
    (
        "{ label = \"xks\" }",
        "{ label = \"ääääääääääääääääää\" }",
        "has 36 bytes",
    ),
    (
        "{ label = \"xks\" }",
        "{ label = \"xks \" }",
        "ends with a blank",
    ),
    (
        "{ label = \"xks\" }",
        "{ serial = \"12345678901234567\" }",
        "at most 16",
    ),
    (
        "[[hsm]]",
        "[server.tls.client_auth]\nca = \"amazon-trust-services\"\nsubjects = [\"*.amazonaws.com\"]\n[[hsm]]",
        "server.tls.client_auth.subjects: \"*.amazonaws.com\" is compared as a whole: its * is not a wildcard",
    ),
    (
        "[[hsm]]",
        "[server.tls.client_auth]\nmode = \"required\"\nca = \"amazon-trust-services\"\nsubjects = [\"cks.kms.eu-west-1.amazonaws.com\"]\n[[hsm]]",
        REQUIRED,
    ),
    // The only mode that there was.
    (
        "[[hsm]]",
        "[server.tls.client_auth]\nca = \"amazon-trust-services\"\nsubjects = [\"cks.kms.eu-west-1.amazonaws.com\"]\n[[hsm]]",
        REQUIRED,
    ),
    (
        "[[hsm]]",
        "[server.tls.client_auth]\nmode = \"optional\"\nca = \"amazon-trust-services\"\nsubjects = [\"cks.kms.us-east-1.amazonaws.com\"]\n[[hsm]]",
        "server.tls.client_auth.subjects: has no name for the Region \"eu-west-1\" of the key store \"payments\"; KMS has \"cks.kms.eu-west-1.amazonaws.com\" there",
    ),
    (
        "\"eu-west-1\"",
        "\"cn-north-1\"",
        "key_store[0].region: \"cn-north-1\" is in the partition aws-cn, where AWS KMS does not offer external key stores",
    ),
    (
        "\"eu-west-1\"",
        "\"uk-east-1\"",
        "key_store[0].region: \"uk-east-1\" is not the name of a known AWS region",
    ),
];

#[test]
fn each_rule_has_its_warning() {
    for (from, to, warning) in WARNINGS {
        assert!(GOOD.contains(from), "{from}");
        let loaded = load_text(&GOOD.replacen(from, to, 1)).unwrap();
        let found: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert!(
            found.iter().any(|text| text.contains(warning)),
            "{warning} is not in {found:?}"
        );
    }
}

#[test]
fn correct_settings_cause_no_warning() {
    for (from, to) in [
        ("\"/payments\"", "\"/kms/xks/version\""),
        ("\"/payments\"", "\"/kms/xks/v1/more\""),
        ("\"eu-west-1\"", "\"us-gov-west-1\""),
        ("\"eu-west-1\"", "\"eusc-de-east-1\""),
        ("\"eu-west-1\"", "\"ap-southeast-9\""),
        (
            "{ label = \"xks\" }",
            "{ label = \"a-label-that-has-32-bytes-exactl\" }",
        ),
        (
            "[[hsm]]",
            "[server.tls.client_auth]\nmode = \"optional\"\nca = \"amazon-trust-services\"\nsubjects = [\"cks.kms.eu-west-1.amazonaws.com\"]\n[[hsm]]",
        ),
        (
            "[[hsm]]",
            "[server.tls.client_auth]\nmode = \"off\"\nca = \"amazon-trust-services\"\nsubjects = [\"a\"]\n[[hsm]]",
        ),
        (
            "[[hsm]]",
            "[server.tls.client_auth]\nmode = \"off\"\n[[hsm]]",
        ),
        ("[\"127.0.0.1:0\"]", "[\"0.0.0.0:443\", \"[::]:443\"]"),
        ("[\"127.0.0.1:0\"]", "[\"127.0.0.1:0\", \"127.0.0.1:0\"]"),
        (
            "[server]",
            "admin = { listen = [\"0.0.0.0:80\", \"[::]:80\"] }\n[server]",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let loaded = load_text(&GOOD.replacen(from, to, 1)).unwrap();
        assert_eq!(loaded.warnings, [], "{to}");
    }
}
