//! Each rule has an error message: a table of wrong settings and their messages.

use super::faults;

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_rule_has_an_error_message() {
    for (from, to, fault) in [
        (
            "[server]\nlisten",
            "[server]\nlistne",
            "did you mean \"listen\"?",
        ),
        (
            "[server]\nlisten = [\"127.0.0.1:0\"]",
            "[server]\nlisten = []",
            "server.listen: is empty",
        ),
        (
            "id = \"orders\"",
            &format!("id = \"orders\"\nlabel = \"{}\"", "x".repeat(1_025)),
            "has 1025 bytes; at most 1024 are possible",
        ),
        (
            "token = {",
            "parameters = \"a\\u0000b\"\ntoken = {",
            "hsm[0].parameters: must not contain a NUL character",
        ),
        (
            "[server]\n",
            "[server]\ngrace_period = 10\n",
            "server.grace_period: must be a string, not integer",
        ),
        (
            "[server]\n",
            "danger_world_readable_secrets = 1\n[server]\n",
            "danger_world_readable_secrets: must be true or false",
        ),
        (
            "[server]\nlisten = [\"127.0.0.1:0\"]",
            "[server]\nlisten = [\"0.0.0.0:443\", \"[::]:443\", \"0.0.0.0:443\"]",
            "server.listen: 0.0.0.0:443 is listed twice",
        ),
        (
            "[server]\nlisten = [\"127.0.0.1:0\"]",
            "[server]\nlisten = [\"0.0.0.0:443\", \"127.0.0.1:443\"]",
            "server.listen: 127.0.0.1:443 cannot be bound: it overlaps with 0.0.0.0:443 of server.listen",
        ),
        (
            "[server]\nlisten = [\"127.0.0.1:0\"]",
            "admin = { listen = \"127.0.0.1:443\" }\n[server]\nlisten = [\"[::]:443\"]",
            "admin.listen: 127.0.0.1:443 cannot be bound: it overlaps with [::]:443 of server.listen",
        ),
        (
            "[server]\nlisten = [\"127.0.0.1:0\"]",
            "admin = { listen = [\"127.0.0.1:443\"] }\n[server]\nlisten = [\"127.0.0.1:443\"]",
            "admin.listen: 127.0.0.1:443 is listed twice (also in server.listen)",
        ),
        (
            "[server]\nlisten = [\"127.0.0.1:0\"]",
            "[server]\nlisten = 443",
            "server.listen: must be a string, a table, or a list of strings and tables",
        ),
        (
            "[[hsm]]",
            "[server.tls.client_auth]\nca = \"amazon-trust-services\"\nsubjects = [\"a\", \"b\", \"a\"]\n[[hsm]]",
            "server.tls.client_auth.subjects: \"a\" is listed twice",
        ),
        (
            "region =",
            "hsms = [\"hsm-a\", \"hsm-a\"]\nregion =",
            "key_store[0].hsms: \"hsm-a\" is listed twice",
        ),
        (
            "region =",
            "legacy_ciphertexts = [\"aws-samples-v3\", \"aws-samples-v3\"]\nregion =",
            "legacy_ciphertexts: \"aws-samples-v3\" is listed twice",
        ),
        ("\"server.pem\"", "\"bom.pem\"", "server.tls.certificate: "),
        (
            "\"server.pem\"",
            "\"bom.pem\"",
            "contains a byte order mark (BOM)",
        ),
        (
            "{ file = \"secret\" }",
            "{ danger_inline = \"1234 \" }",
            "credential[0].secret: the secret begins or ends with a blank",
        ),
        ("\"server.key\"", "\"secret\"", "holds no PEM private key"),
        ("\"server.pem\"", "\"secret\"", "holds no PEM certificate"),
        (
            "[[hsm]]",
            "[log]\nsample_successes = 1.5\n[[hsm]]",
            "log.sample_successes: must be from 0 (none) to 1 (all)",
        ),
        (
            "[[hsm]]",
            "[log]\nsample_successes = nan\n[[hsm]]",
            "log.sample_successes: must be from 0 (none) to 1 (all)",
        ),
        (
            "[[hsm]]",
            "[log]\nsample_successes = \"1%\"\n[[hsm]]",
            "log.sample_successes: must be a number, not string",
        ),
        (
            "[server.tls]",
            "[server.limits]\nmax_body = \"10\"\n[server.tls]",
            "must be from 1024",
        ),
        (
            "[server.tls]",
            "[server.limits]\nshared_sources = [\"10.0.0.1/8\"]\n[server.tls]",
            "server.limits.shared_sources: \"10.0.0.1/8\" has bits set behind its prefix; write 10.0.0.0/8",
        ),
        (
            "[server.tls]",
            "[server.limits]\nshared_sources = [\"nlb\"]\n[server.tls]",
            "\"nlb\" is not a CIDR",
        ),
        (
            "[server.tls]",
            "[server.limits]\nmax_connection_age = \"10ms\"\n[server.tls]",
            "server.limits.max_connection_age: must be from",
        ),
        (
            "[server.tls]",
            "[server.limits]\nmax_unverified = 0\n[server.tls]",
            "server.limits.max_unverified: must be from 1",
        ),
        (
            "[[hsm]]",
            "[health]\ninterval = \"50s\"\n[[hsm]]",
            "health.interval: must be from",
        ),
        (
            "{ label = \"xks\" }",
            "{ label = \"a\", serial = \"b\" }",
            "either a label or a serial",
        ),
        (
            "{ file = \"pin\" }",
            "{ file = \"pin\", env = \"PIN\" }",
            "exactly one of file, env, credential",
        ),
        (
            "{ file = \"pin\" }",
            "{ env = \"XKS_TEST_UNSET_VARIABLE\" }",
            "XKS_TEST_UNSET_VARIABLE is not set",
        ),
        (
            "{ file = \"pin\" }",
            "{ credential = \"pin\" }",
            "LoadCredential",
        ),
        (
            "{ file = \"pin\" }",
            "\"1234\"",
            "must be a table, not string",
        ),
        (
            "{ file = \"secret\" }",
            "{ danger_inline = \"\" }",
            "the secret is empty",
        ),
        (
            "name = \"hsm-a\"",
            "name = \"hsm a\"",
            "may have at most 64 letters",
        ),
        (
            "name = \"hsm-a\"",
            "name = \"hsm-a\"\nsessions = 0",
            "must be from 1 to 1024",
        ),
        (
            "name = \"hsm-a\"",
            "name = \"hsm-a\"\ngcm_profile = \"guess\"",
            "it may be \"auto\" or",
        ),
        (
            "name = \"hsm-a\"",
            "name = \"hsm-a\"\nhealth_key = \"orders\"",
            "KMS must never use",
        ),
        (
            "\"/payments\"",
            "\"/payments/\"",
            "must not end with a slash",
        ),
        ("\"eu-west-1\"", "\"EU\"", "is not an AWS Region"),
        (
            "region =",
            "hsms = [\"hsm-b\"]\nregion =",
            "no [[hsm]] is named \"hsm-b\"; known are: hsm-a",
        ),
        (
            "region =",
            "state = \"off\"\nregion =",
            "it may be \"enabled\" or \"disabled\"",
        ),
        (
            "region =",
            "quota = { burst = 1 }\nregion =",
            "quota.rate: is missing",
        ),
        (
            "region =",
            "quota = { rate = 0 }\nregion =",
            "quota.rate: must be from 1 to",
        ),
        (
            "region =",
            "weight = 0\nregion =",
            "weight: must be from 1 to",
        ),
        (
            "region =",
            "legacy_ciphertexts = [\"v2\"]\nregion =",
            "\"v2\" is unknown; it may be \"aws-samples-v3\"",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\nprimary = 2",
            "primary: needs versions",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\nlabel = \"\"",
            "label: is empty",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\nlabel = \"a\"\nversions = [{ version = 1, label = \"b\" }]",
            "each version has its own",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\nprimary = 3\nversions = [{ version = 1, label = \"a\" }, { version = 2, label = \"b\" }]",
            "primary: is 3, but the versions are 1, 2",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\nversions = [{ version = 1, label = \"a\" }, { version = 2, label = \"b\" }]",
            "primary: is missing",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\nprimary = 1\nversions = [{ version = 1, label = \"a\" }, { version = 1, label = \"b\" }]",
            "versions[1].version: \"1\" is used twice",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\nprimary = 1\nversions = [{ version = 1, label = \"a\" }, { version = 2, label = \"a\" }]",
            "is used twice",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\nversions = [{ version = 0, label = \"a\" }]",
            "version: must be from 1",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\nversions = [{ version = 1 }]",
            "versions[0].label: is missing",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\nversions = [{ version = 1, label = \"xks-health\" }]",
            "KMS must never use",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\ndanger_shared = 1",
            "must be true or false",
        ),
        (
            "{ file = \"secret\" }",
            "{ file = \"pin\" }",
            "a secret access key has 43 to 64",
        ),
        ("id = \"orders\"", "id = \"a/b\"", "an id has 1 to 128"),
        (
            "id = \"orders\"",
            "id = \"orders\"\nlabel = \"a\"\ncka_id = \"00\"",
            "not both",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\ncka_id = \"0\"",
            "pairs of hex digits",
        ),
        (
            "id = \"orders\"",
            "id = \"orders\"\n[[key_store.key]]\nid = \"orders\"",
            "\"orders\" is used twice",
        ),
        (
            "[[hsm]]",
            "[policy]\nengine = \"cedar\"\n[[hsm]]",
            "policy.path: is missing",
        ),
        (
            "[[hsm]]",
            "[policy]\nengine = \"opa\"\npath = \"p\"\n[[hsm]]",
            "it may be \"cedar\"",
        ),
        (
            "[[hsm]]",
            "[policy]\nengine = \"cedar\"\npath = \"nowhere\"\n[[hsm]]",
            "policy.path: cannot read",
        ),
        (
            "[[hsm]]",
            "[policy]\nengine = \"cedar\"\npath = \".\"\n[[hsm]]",
            "has no .cedar file",
        ),
        ("[[hsm]]", "[audit]\n[[hsm]]", "audit.path: is missing"),
        (
            "[[hsm]]",
            "[audit]\npath = \"a\"\non_failure = \"ignore\"\n[[hsm]]",
            "it may be \"refuse\"", // plain-english: quotation
        ),
        (
            "[[hsm]]",
            "[audit]\npath = \"a\"\nkey = \"\"\n[[hsm]]",
            "audit.key: is empty",
        ),
        (
            "[[hsm]]",
            "[audit]\npath = \"a\"\nkey = \"xks-health\"\n[[hsm]]",
            "audit: \"xks-health\" is the health key of hsm-a",
        ),
        (
            "[[hsm]]",
            "[audit]\npath = \"a\"\nkey = \"orders\"\n[[hsm]]",
            "audit: \"orders\" is a key of the key store",
        ),
        (
            "[[hsm]]",
            "[audit]\npath = \"a\"\ncheckpoint = { lines = 0 }\n[[hsm]]",
            "audit.checkpoint.lines",
        ),
        (
            "[[hsm]]",
            "[audit]\npath = \"a\"\nrotate = { size = \"1B\" }\n[[hsm]]",
            "audit.rotate.size",
        ),
        ("[server.tls]", "[server.tls", "is not TOML"),
    ] {
        let text = faults(from, to);
        assert!(text.contains(fault), "{fault} is not in:\n{text}");
    }
}
