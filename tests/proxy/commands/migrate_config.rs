//! `xks-proxy migrate-config`: settings of the AWS sample proxy become a directory that `check-config` accepts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::commands::command_line::run;
use crate::harness::setup::Setup;
use crate::harness::token::TOKEN_LABEL;
use crate::harness::{PAYMENTS, ROOT};

const PIN: &str = "x9-\"pin\"-\\";

/// Settings, in a directory that has the certificates that they name.
struct Old {
    directory: TempDir,
    settings: PathBuf,
}

impl Old {
    fn new(change: impl FnOnce(String) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        drop(Setup::new(directory.path()));
        let settings = directory.path().join("settings.toml");
        fs::write(&settings, change(settings_text())).unwrap();
        Self {
            directory,
            settings,
        }
    }

    fn output(&self) -> PathBuf {
        self.directory.path().join("new")
    }

    fn migrate(&self, options: &[&str]) -> (Option<i32>, String, String) {
        let output = self.output();
        let command = [
            &[
                "migrate-config",
                "--settings",
                text(&self.settings),
                "--output",
                text(&output),
            ],
            &["--working-directory", text(self.directory.path())][..],
            options,
        ];
        run(&command.concat())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Two stores that share a key, no mTLS, no logger: what most installations of the sample say.
fn settings_text() -> String {
    let store = |prefix: &str, id: &str, secret: &str, keys: &str| {
        format!(
            "[[external_key_stores]]\nuri_path_prefix = {prefix:?}\nsigv4_access_key_id = {id:?}\n\
             sigv4_secret_access_key = {secret:?}\nxks_key_id_set = {keys}\n"
        )
    };
    let root = store("", ROOT.access_key_id, ROOT.secret, "[\"foo\", \"cat\"]");
    let payments = store(
        "/example/payments",
        PAYMENTS.access_key_id,
        PAYMENTS.secret,
        "[\"foo\", \"bar\"]",
    );
    format!(
        r#"
[server]
ip = "0.0.0.0"
port = 443
region = "eu-west-1"
service = "kms-xks-proxy"
[server.tcp_keepalive]
tcp_keepalive_secs = 60
[tracing]
is_stdout_writer_enabled = true
is_file_writer_enabled = false
level = "INFO"
[security]
is_sigv4_auth_enabled = true
is_tls_enabled = true
is_mtls_enabled = false
[tls]
tls_cert_pem = "server.pem"
tls_key_pem = "server.key"
{root}{payments}
[pkcs11]
session_pool_max_size = 30
session_pool_timeout_milli = 0
session_eager_close = false
user_pin = {PIN:?}
PKCS11_HSM_MODULE = "/usr/lib/softhsm/libsofthsm2.so"
context_read_timeout_milli = 10
[limits]
max_plaintext_in_base64 = 8192
max_aad_in_base64 = 16384
[hsm_capabilities]
can_generate_iv = false
is_zero_iv_required = false
"#
    )
}

#[track_caller]
fn assert_mode(path: &Path, wanted: u32) {
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, wanted, "{}", path.display());
}

#[track_caller]
fn assert_no_secret(printed: &str) {
    for secret in [ROOT.secret, PAYMENTS.secret, "x9-"] {
        assert!(!printed.contains(secret), "{secret} is in:\n{printed}");
    }
}

#[test]
fn check_config_accepts_what_comes_out() {
    let old = Old::new(|text| text);
    let (code, stdout, stderr) = old.migrate(&["--token-label", TOKEN_LABEL]);
    assert_eq!((code, &*stderr), (Some(0), ""), "{stdout}");
    assert_no_secret(&stdout);
    let output = old.output();
    assert_mode(&output, 0o700);
    for (name, content) in [
        ("hsm.pin", PIN),
        ("root.secret", ROOT.secret),
        ("example-payments.secret", PAYMENTS.secret),
    ] {
        assert_mode(&output.join(name), 0o600);
        assert_eq!(fs::read_to_string(output.join(name)).unwrap(), content);
    }
    assert_eq!(fs::read_dir(&output).unwrap().count(), 4);
    let configuration = output.join("config.toml");
    assert_mode(&configuration, 0o600);
    assert_no_secret(&fs::read_to_string(&configuration).unwrap());
    let (code, stdout, stderr) = run(&["check-config", "--config", text(&configuration)]);
    assert_eq!(code, Some(0), "{stdout}");
    // The only warning is about the CA of the tests.
    let other = stderr
        .lines()
        .find(|line| !line.contains("not in AWS's list of trusted CAs"));
    assert_eq!(other, None);
}

#[test]
fn the_report_names_what_went_where_and_what_did_not() {
    let (_, stdout, _) = Old::new(|text| text).migrate(&[]);
    for part in [
        "Carried over to:",
        "server.region: key_store.region",
        "Not carried over:",
        "server.tcp_keepalive: ",
        "limits.max_plaintext_in_base64: ",
        "To do:",
        "hsm.token: { label",
        "hsm.health_key is new",
        "\"foo\" is in the stores root, example-payments",
        "hsm[0].token: must have either a label or a serial",
        "Written:",
    ] {
        assert!(stdout.contains(part), "{part} is not in:\n{stdout}");
    }
}

#[test]
fn the_report_is_json_for_scripts() {
    let old = Old::new(|text| text);
    let (code, stdout, stderr) = old.migrate(&["--json"]);
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert_no_secret(&stdout);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["files"][0], text(&old.output().join("config.toml")));
    for list in ["carried_over", "not_carried_over", "to_do"] {
        let note = &report["notes"][list][0];
        assert!(
            note["key"].is_string() && note["line"].is_u64(),
            "{list}: {note}"
        );
    }
    let faults = report["check_config"].as_array().unwrap();
    assert!(
        faults.iter().any(|fault| fault["key"] == "hsm[0].token"),
        "{report}"
    );
}

#[test]
fn a_file_in_the_way_stays_and_nothing_is_written() {
    for name in ["config.toml", "hsm.pin", "root.secret"] {
        let old = Old::new(|text| text);
        let output = old.output();
        fs::create_dir(&output).unwrap();
        fs::write(output.join(name), "precious").unwrap();
        let (code, stdout, stderr) = old.migrate(&[]);
        assert_eq!((code, &*stdout), (Some(1), ""), "{stderr}");
        assert!(
            stderr.contains(name) && stderr.contains("nothing was written"),
            "{stderr}"
        );
        assert_eq!(fs::read_to_string(output.join(name)).unwrap(), "precious");
        assert_eq!(fs::read_dir(&output).unwrap().count(), 1);
    }
}

#[test]
fn bad_settings_have_all_their_faults_told_and_nothing_is_written() {
    let old = Old::new(|text| {
        text.replace("port = 443", "port = \"https\"")
            .replace("[hsm_capabilities]", "[capabilities]")
    });
    for options in [&[][..], &["--json"]] {
        let (code, stdout, stderr) = old.migrate(options);
        assert_eq!(code, Some(78));
        let printed = format!("{stdout}{stderr}");
        assert!(
            printed.contains("server.port") && printed.contains("hsm_capabilities"),
            "{printed}"
        );
        assert_no_secret(&printed);
        assert!(!old.output().exists());
    }
    fs::write(&old.settings, b"\xff").unwrap();
    assert_eq!(old.migrate(&[]).0, Some(78));
    fs::remove_file(&old.settings).unwrap();
    assert_eq!(old.migrate(&[]).0, Some(78));
    assert!(!old.output().exists());
}

#[test]
fn wrong_usage_is_2_and_help_shows_an_example() {
    assert_eq!(run(&["migrate-config"]).0, Some(2));
    assert_eq!(run(&["migrate-config", "--settings", "x"]).0, Some(2));
    let (code, stdout, _) = run(&["migrate-config", "--help"]);
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("Example:") && stdout.contains("--settings"),
        "{stdout}"
    );
}
