//! Tests of the choice of readable directories and files.

use super::*;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

/// Creates a directory with `etc/config.toml`, `etc/tls/key`, `pins/pin`, `pins/other`, `run/credentials/{pin,secret}` and `data/file`.
fn tree() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    for file in [
        "etc/config.toml",
        "etc/tls/key",
        "etc/pins/pin",
        "pins/pin",
        "pins/other",
        "run/credentials/pin",
        "run/credentials/secret",
        "run/credentials/unnamed",
        "data/file",
        "loose",
    ] {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    (directory, root)
}

fn plan_of(root: &Path, lifetime: Lifetime, readable: &[&str], unreadable: &[&str]) -> Plan {
    let paths = |names: &[&str]| -> Vec<PathBuf> { names.iter().map(|n| root.join(n)).collect() };
    let credentials = root.join("run/credentials");
    let reading = Reading {
        lifetime,
        readable: &paths(readable),
        unreadable: &paths(unreadable),
        credentials: Some(&credentials),
    };
    plan(&reading, &[])
}

fn reads(plan: &Plan, path: &Path) -> bool {
    let mut ancestors = path.ancestors();
    plan.files.contains(path) || ancestors.any(|above| plan.directories.contains(above))
}

#[test]
fn everything_can_be_read_if_no_file_is_hidden() {
    let plan = plan_of(Path::new("/"), Lifetime::Long, &["etc/hosts"], &[]);
    assert_eq!(plan.directories, BTreeSet::from([PathBuf::from("/")]));
}

#[test]
fn all_but_the_pins_directory_can_be_read() {
    let (_directory, root) = tree();
    let plan = plan_of(
        &root,
        Lifetime::Long,
        &["etc/config.toml", "etc/tls/key"],
        &["pins/pin"],
    );
    assert_eq!(plan.exposed, []);
    for hidden in ["pins/pin", "pins/other", "pins/later", "later"] {
        assert!(!reads(&plan, &root.join(hidden)), "{hidden}");
    }
    for open in [
        "etc/config.toml",
        "etc/later",
        "etc/tls/later",
        "data/file",
        "loose",
    ] {
        assert!(reads(&plan, &root.join(open)), "{open}");
    }
    assert!(reads(&plan, Path::new("/usr/lib/later")));
}

#[test]
fn a_pin_file_below_a_needed_directory_is_exposed() {
    let (_directory, root) = tree();
    let plan = plan_of(
        &root,
        Lifetime::Long,
        &["etc/config.toml"],
        &["etc/pins/pin", "pins/pin"],
    );
    let exposed = Exposed {
        file: root.join("etc/pins/pin"),
        directory: root.join("etc"),
    };
    assert_eq!(plan.exposed, [exposed]);
    assert!(!reads(&plan, &root.join("pins/pin")));
}

#[test]
fn credentials_are_allowed_one_by_one() {
    let (_directory, root) = tree();
    let readable = ["etc/config.toml", "run/credentials/secret"];
    let plan = plan_of(&root, Lifetime::Long, &readable, &["run/credentials/pin"]);
    assert_eq!(plan.exposed, []);
    assert!(!reads(&plan, &root.join("run/credentials/pin")));
    assert!(reads(&plan, &root.join("run/credentials/secret")));
    assert!(reads(&plan, &root.join("run/credentials/unnamed")));
}

#[test]
fn a_short_lifetime_needs_no_directories() {
    let (_directory, root) = tree();
    let plan = plan_of(&root, Lifetime::Short, &["pins/other"], &["pins/pin"]);
    assert_eq!(plan.exposed, []);
    assert!(reads(&plan, &root.join("pins/other")));
    assert!(!reads(&plan, &root.join("pins/pin")));
    let plan = plan_of(&root, Lifetime::Long, &["pins/other"], &["pins/pin"]);
    assert_eq!(plan.exposed.len(), 1, "a long lifetime needs the directory");
}

#[test]
fn targets_of_links_can_change() {
    let (_directory, root) = tree();
    fs::create_dir_all(root.join("releases/1")).unwrap();
    fs::write(root.join("releases/1/key"), "").unwrap();
    symlink("1", root.join("releases/current")).unwrap();
    symlink(root.join("pins/pin"), root.join("data/pin")).unwrap();
    let plan = plan_of(
        &root,
        Lifetime::Long,
        &["releases/current/key"],
        &["data/pin"],
    );
    assert!(reads(&plan, &root.join("releases/2/key")));
    assert!(
        !reads(&plan, &root.join("pins/pin")),
        "the file that the link leads to"
    );
    assert_eq!(plan.exposed, []);
}

#[test]
fn a_writable_directory_exposes_its_hidden_files() {
    let (_directory, root) = tree();
    let reading = Reading {
        lifetime: Lifetime::Long,
        readable: &[],
        unreadable: &[root.join("pins/pin")],
        credentials: None,
    };
    assert_eq!(plan(&reading, &[root.join("pins")]).exposed.len(), 1);
}
