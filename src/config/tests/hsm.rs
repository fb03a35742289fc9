//! `[[hsm]]`: the PIN as a reference, what concerns the library's process, and the settings of one worker.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{GOOD, directory, faults, load_text};
use crate::config::{Configuration, Loaded, load, read, settings_of};
use crate::hsm::{HsmSettings, PinReference, Pkcs11Settings};

const NAME: &str = "name = \"hsm-a\"";

/// A directory with `config.toml` and all that it names.
fn configured(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = directory();
    let file = directory.path().join("config.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    (directory, file)
}

/// The configuration as the process that serves reads it.
fn served(file: &Path) -> Configuration {
    read(file).outcome.unwrap().configuration
}

fn hsm(file: &Path) -> HsmSettings {
    served(file).hsms.remove(0)
}

fn with(lines: &str) -> Loaded {
    load_text(&GOOD.replace(NAME, &format!("{NAME}\n{lines}"))).unwrap()
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_command_reads_the_content_of_a_pin_and_the_serving_process_does_not() {
    let (directory, file) = configured(GOOD);
    let pin = directory.path().join("pin");
    for (content, problem) in [
        (
            &b"1234\n5678\n"[..],
            "hsm[0].pin: the secret has more than one line",
        ),
        (b"\n", "hsm[0].pin: the secret is empty"),
        (
            b" 1234",
            "hsm[0].pin: the secret begins or ends with a blank",
        ),
        (b"\xff\xfe", "hsm[0].pin: the secret is not UTF-8 text"),
        (
            b"\xef\xbb\xbf1234",
            "hsm[0].pin: the secret has a byte order mark (BOM)",
        ),
    ] {
        fs::write(&pin, content).unwrap();
        let faults = load(&file).unwrap_err();
        assert!(faults.to_string().contains(problem), "{faults}");
        assert_eq!(faults.0[0].line, Some(12), "{faults}");
        assert!(read(&file).outcome.is_ok(), "{problem}");
    }
}

#[test]
fn the_serving_process_checks_the_metadata_of_a_pin_file() {
    let (directory, file) = configured(GOOD);
    let pin = directory.path().join("pin");
    let fault = || read(&file).outcome.unwrap_err().to_string();
    fs::write(&pin, "").unwrap();
    assert!(fault().contains("hsm[0].pin: the secret is empty"));
    let large = fs::File::create(&pin).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    assert!(fault().contains("pin: it is larger than 64 MiB"));
    fs::remove_file(&pin).unwrap();
    assert!(fault().contains("hsm[0].pin: cannot read"));
    fs::create_dir(&pin).unwrap();
    assert!(fault().contains("pin: it is a directory, not a regular file"));
}

#[test]
fn a_pin_file_is_watched_and_its_replacement_is_a_change() {
    let (directory, file) = configured(GOOD);
    let pin = directory.path().join("pin");
    let before = read(&file);
    assert_eq!(before.sources.now(), before.sources);
    fs::write(directory.path().join("new"), "5678\n").unwrap();
    fs::set_permissions(
        directory.path().join("new"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    fs::rename(directory.path().join("new"), &pin).unwrap();
    assert_ne!(before.sources.now(), before.sources);
    let before = before.outcome.unwrap().configuration.hsms.remove(0);
    assert_eq!(hsm(&file).changes_since(&before), ["pin"]);
    assert!(hsm(&file).changes_since(&hsm(&file)).is_empty());
}

#[test]
fn other_sources_of_a_pin() {
    let pin = |pin: &str| {
        let (directory, file) = configured(&GOOD.replace("{ file = \"pin\" }", pin));
        let pin = hsm(&file).pin;
        drop(directory);
        pin
    };
    let variable = PinReference::Env {
        name: "PATH".into(),
    };
    assert_eq!(pin("{ env = \"PATH\" }"), variable);
    assert_eq!(pin("\"none\""), PinReference::None);
    let inline = faults("{ file = \"pin\" }", "{ danger_inline = \"1234\" }");
    assert!(inline.contains("hsm[0].pin: must not be in the configuration itself"));
}

#[test]
fn settings_of_the_librarys_process() {
    let loaded = with(
        "environment = { SOFTHSM2_CONF = \"/etc/a.conf\", EMPTY = \"\" }\nwritable = [\"/usr/lib\"]\n\
         hang_timeout = \"100ms\"\nopen_timeout = \"10m\"\ndanger_no_sandbox = false",
    );
    assert_eq!(loaded.warnings, []);
    let hsm = &loaded.configuration.hsms[0];
    assert_eq!(hsm.environment.0["SOFTHSM2_CONF"], "/etc/a.conf");
    assert_eq!(hsm.environment.0["EMPTY"], "");
    assert_eq!(hsm.writable, [Path::new("/usr/lib")]);
    assert_eq!(
        (hsm.hang_timeout.as_millis(), hsm.open_timeout.as_secs()),
        (100, 600)
    );

    let plain = load_text(GOOD).unwrap().configuration.hsms.remove(0);
    let mut changes = hsm.changes_since(&plain);
    changes.retain(|change| *change != "pin");
    assert_eq!(
        changes,
        ["environment", "writable", "hang_timeout", "open_timeout"]
    );
    let bare = with("danger_no_sandbox = true")
        .configuration
        .hsms
        .remove(0);
    assert!(bare.changes_since(&plain).contains(&"danger_no_sandbox"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn errors_in_the_settings_of_the_librarys_process() {
    for (line, fault) in [
        (
            "environment = { \"A B\" = \"x\" }",
            "environment.A B: is not the name of an environment variable",
        ),
        (
            "environment = { \"1A\" = \"x\" }",
            "environment.1A: is not the name of",
        ),
        (
            "environment = { A = \"x\\u0000y\" }",
            "hsm[0].environment.A: must not contain a NUL",
        ),
        (
            "environment = { A = 1 }",
            "hsm[0].environment.A: must be a string, not integer",
        ),
        (
            "environment = \"A=x\"",
            "hsm[0].environment: must be a table",
        ),
        (
            "writable = \"/var\"",
            "hsm[0].writable: must be a list of strings",
        ),
        (
            "writable = [\"/usr/lib\", \"/usr/lib\"]",
            "\"/usr/lib\" is listed twice",
        ),
        ("writable = [\"\"]", "hsm[0].writable: has an empty path"),
        (
            "hang_timeout = \"99ms\"",
            "hsm[0].hang_timeout: must be from 100ms to 60s",
        ),
        (
            "hang_timeout = \"61s\"",
            "hsm[0].hang_timeout: must be from 100ms to 60s",
        ),
        (
            "open_timeout = \"999ms\"",
            "hsm[0].open_timeout: must be from 1s to 600s",
        ),
        (
            "open_timeout = \"601s\"",
            "hsm[0].open_timeout: must be from 1s to 600s",
        ),
        (
            "danger_no_sandbox = \"yes\"",
            "hsm[0].danger_no_sandbox: must be true or false",
        ),
    ] {
        let faults = faults(NAME, &format!("{NAME}\n{line}"));
        assert!(faults.contains(fault), "{line}: {faults}");
    }
    let huge = format!("{NAME}\nenvironment = {{ A = {:?} }}", "x".repeat(33_000));
    assert!(faults(NAME, &huge).contains("hsm[0]: the table is too large"));
    let pin = GOOD.replace("{ file = \"pin\" }", "{ env = \"PATH\" }");
    let both = pin.replace(NAME, &format!("{NAME}\nenvironment = {{ PATH = \"/\" }}"));
    let faults = load_text(&both).unwrap_err().to_string();
    assert!(
        faults.contains("environment.PATH: is the variable that `pin` names"),
        "{faults}"
    );
}

#[test]
fn dangerous_settings_of_the_librarys_process_are_warned_about() {
    for (line, warning) in [
        (
            "environment = { LD_PRELOAD = \"a.so\" }",
            "hsm[0].environment.LD_PRELOAD: loads further",
        ),
        (
            "environment = { LD_AUDIT = \"a.so\" }",
            "hsm[0].environment.LD_AUDIT: loads further",
        ),
        (
            "writable = [\"not-there\"]",
            "hsm[0].writable: cannot find ",
        ),
        (
            "writable = [\"/\"]",
            "hsm[0].writable: with / the library can write every file",
        ),
        (
            "danger_no_sandbox = true",
            "hsm[0].danger_no_sandbox: the library runs without a sandbox",
        ),
    ] {
        let found = warnings(&with(line));
        assert!(
            found.len() == 1 && found[0].contains(warning),
            "{line}: {found:?}"
        );
    }
}

#[test]
fn a_writable_path_that_reaches_files_of_the_proxy_is_warned_about() {
    for (path, reached) in [
        (".", "config.toml"),
        ("config.toml", "config.toml"),
        ("secret", "secret"),
        ("link", "config.toml"),
    ] {
        let lines = format!("{NAME}\nwritable = [{path:?}]");
        let (directory, file) = configured(&GOOD.replace(NAME, &lines));
        std::os::unix::fs::symlink(directory.path(), directory.path().join("link")).unwrap();
        let found = warnings(&read(&file).outcome.unwrap());
        let [warning] = &found[..] else {
            panic!("{path}: {found:?}");
        };
        assert!(warning.contains("hsm[0].writable: with "), "{warning}");
        assert!(
            warning.contains(&format!("{reached}, which the proxy reads")),
            "{warning}"
        );
    }
    let (directory, file) =
        configured(&GOOD.replace(NAME, &format!("{NAME}\nwritable = [\"tokens\"]")));
    fs::create_dir(directory.path().join("tokens")).unwrap();
    assert!(read(&file).outcome.unwrap().warnings.is_empty());
}

/// Files that belong to other processes are absent, and other tables have errors.
#[test]
fn a_worker_reads_its_own_table_only() {
    let second =
        "[[hsm]]\nname = \"hsm-b\"\nmodule = 1\npin = { file = \"absent\" }\n[[key_store]]";
    let text = GOOD.replace("[[key_store]]\n", &format!("{second}\n"));
    let text = format!("surplus = 1\n{text}\n[health]\ninterval = \"5s\"\nfleet_size = \"many\"\n");
    let (directory, file) = configured(&text);
    for name in ["server.pem", "server.key", "secret"] {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    let pin = directory.path().join("pin");
    // It is not opened: nobody could.
    fs::write(&pin, b"\xff").unwrap();
    let settings = settings_of(&file, "hsm-a").unwrap();
    assert_eq!((&*settings.name, settings.sessions), ("hsm-a", 16));
    assert_eq!(settings.health_interval.as_secs(), 5);
    assert_eq!(settings.pin.path(), Some(&*pin));
    let whole = configured(GOOD);
    let directory = whole.1.parent().unwrap();
    let expected = Pkcs11Settings {
        secrets: ["secret", "server.key"]
            .map(|file| directory.join(file))
            .into(),
        ..hsm(&whole.1).for_worker()
    };
    let settings = settings_of(&whole.1, "hsm-a").unwrap();
    assert_eq!(settings, expected, "as the serving process reads them");

    let fault = |name: &str| settings_of(&file, name).unwrap_err().to_string();
    assert!(fault("hsm-b").contains("hsm[1].module: must be a string"));
    assert!(fault("hsm-c").contains("hsm: no [[hsm]] is named \"hsm-c\""));
}

#[test]
fn a_worker_gets_no_settings_from_a_faulty_file() {
    for (from, to, fault) in [
        ("[[key_store]]", "[[key_store]", "is not TOML"),
        (
            "[[hsm]]",
            "[health]\ninterval = \"1h\"\n[[hsm]]",
            "health.interval: must be from",
        ),
        ("pin = {", "pni = {", "hsm[0].pin: is missing"),
        (
            "[[hsm]]",
            "[[hsm]]\nname = \"hsm-a\"\n[[hsm]]",
            "\"hsm-a\" is used twice",
        ),
    ] {
        let (_directory, file) = configured(&GOOD.replace(from, to));
        let message = settings_of(&file, "hsm-a").unwrap_err().to_string();
        assert!(message.contains(fault), "{to}: {message}");
    }
    let (directory, file) = configured(GOOD);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o606)).unwrap();
    let message = settings_of(&file, "hsm-a").unwrap_err().to_string();
    assert!(message.contains("everybody can write"), "{message}");
    fs::remove_file(directory.path().join("config.toml")).unwrap();
    assert!(
        settings_of(&file, "hsm-a")
            .unwrap_err()
            .to_string()
            .contains("cannot read")
    );
}
