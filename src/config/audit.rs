//! `[audit]`: the path of the audit log, the key that signs its checkpoints, and what happens to a request that cannot be recorded.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::audit::{AuditSettings, CheckpointSettings, OnFailure, RotateSettings, SyncPolicy};
use crate::ekm::KeySelector;
use crate::hsm::HsmSettings;
use crate::keystore::KeyStoreSettings;
use crate::read_file;
use crate::toml_file::{Section, values};

/// The maximum number of lines between two checkpoints. The HSM signature of a checkpoint protects all lines before it.
const MAX_CHECKPOINT_LINES: u64 = 50_000;

/// `None` if there is an error; `Some(None)` without an audit log.
pub(super) fn settings(root: &Section<'_>) -> Option<Option<AuditSettings>> {
    let Some(section) = root.section("audit") else {
        return Some(None);
    };
    let path = section.required_string("path", "\"/var/log/xks-proxy/audit.jsonl\"");
    let path = section.resolve(path?);
    let mut settings = AuditSettings::at(path);
    settings.key = key(&section);
    let on_failure = [
        ("refuse", OnFailure::Refuse),
        ("continue", OnFailure::Continue),
    ];
    settings.on_failure = section
        .choice("on_failure", &on_failure)
        .unwrap_or(settings.on_failure);
    let sync = [("batch", SyncPolicy::Batch), ("none", SyncPolicy::None)];
    settings.sync = section.choice("sync", &sync).unwrap_or(settings.sync);
    let queue = section.integer("queue", 1..=1_000_000);
    let queue = queue.and_then(|queue| usize::try_from(queue).ok());
    settings.queue = queue.unwrap_or(settings.queue);
    settings.checkpoint = checkpoint(&section);
    settings.rotate = rotate(&section);
    section.finish();
    Some(Some(settings))
}

fn key(section: &Section<'_>) -> Option<String> {
    let key = section.string("key");
    if let Some(problem) = key.and_then(values::blank) {
        section.error("key", format!("{problem}; for example \"xks-audit\""));
    }
    if key.is_none() {
        section.warn(
            "",
            "has no key: without HSM signatures, root on this machine can change the audit log undetected",
        );
    }
    key.map(str::to_owned)
}

fn checkpoint(parent: &Section<'_>) -> CheckpointSettings {
    let mut settings = CheckpointSettings::default();
    let Some(section) = parent.section("checkpoint") else {
        return settings;
    };
    if let Some(lines) = section.integer("lines", 1..=MAX_CHECKPOINT_LINES) {
        settings.lines = lines;
    }
    let range = Duration::from_millis(100)..=Duration::from_secs(86_400);
    if let Some(interval) = section.duration("interval", range) {
        settings.interval = interval;
    }
    let range = Duration::from_millis(10)..=Duration::from_secs(60);
    if let Some(timeout) = section.duration("seal_timeout", range) {
        settings.seal_timeout = timeout;
    }
    section.finish();
    settings
}

fn rotate(parent: &Section<'_>) -> RotateSettings {
    let mut settings = RotateSettings::default();
    let Some(section) = parent.section("rotate") else {
        return settings;
    };
    let size = |text: &str| values::size(text, &(4_096..=1 << 40));
    if let Some(size) = section.parsed("size", size) {
        settings.size = u64::try_from(size).ok();
    }
    if let Some(daily) = section.boolean("daily") {
        settings.daily = daily;
    }
    section.finish();
    settings
}

/// Checks that neither KMS nor the health check uses the key of the audit log.
pub(super) fn check_key(
    root: &Section<'_>,
    audit: Option<&AuditSettings>,
    hsms: &[HsmSettings],
    stores: &[KeyStoreSettings],
) {
    let Some(key) = audit.and_then(|audit| audit.key.as_ref()) else {
        return;
    };
    if let Some(hsm) = hsms.iter().find(|hsm| hsm.health_key == *key) {
        let message = format!(
            "{key:?} is the health key of {}; the audit log needs a separate key",
            hsm.name
        );
        root.error("audit", message);
    }
    let selector = KeySelector::Label(key.clone());
    let keys = |store: &&KeyStoreSettings| {
        let mut versions = store.keys.iter().flat_map(|key| key.versions());
        versions.any(|version| *version.selector == selector)
    };
    if let Some(store) = stores.iter().find(keys) {
        let message = format!(
            "{key:?} is a key of the key store {:?}; the audit log needs a separate key",
            store.name
        );
        root.error("audit", message);
    }
}

/// Checks that the configuration names no audit file for another purpose, and that the audit log is not in a directory whose files
/// the configuration is read from.
pub(super) fn check_path(root: &Section<'_>, audit: Option<&AuditSettings>, hsms: &[HsmSettings]) {
    let Some((audit, section)) = audit.zip(root.section("audit")) else {
        return;
    };
    let sources = section.document().sources();
    let modules = hsms.iter().map(|hsm| hsm.module.as_path());
    let mut named: Vec<&Path> = sources.paths().chain(modules).collect();
    named.sort_unstable();
    named.dedup();
    for named in named {
        if let Some(problem) = conflict(audit, named) {
            section.error("path", problem);
        }
    }
}

/// Returns why a path that the configuration names conflicts with the audit log.
fn conflict(audit: &AuditSettings, named: &Path) -> Option<String> {
    let shown = named.display();
    let directory = directory_of(&audit.path);
    if read_file::metadata(named).is_ok_and(|found| found.is_dir()) {
        return is_same(directory, named).then(|| {
            format!("is in {shown}, whose files the configuration is read from: each new audit file would cause a reload; name another directory")
        });
    }
    audit.files().iter().find(|own| is_same(own, named)).map(|own| {
        let own = own.display();
        format!("needs {own} for the audit log, but the configuration names {shown}, the same file, for another purpose; name another path")
    })
}

fn directory_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

fn is_same(one: &Path, other: &Path) -> bool {
    canonical(one) == canonical(other)
        || identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// Returns the path without symbolic links, also for a file that does not exist yet.
fn canonical(path: &Path) -> PathBuf {
    let existing = |path: &Path| read_file::with_timeout(path, |path| fs::canonicalize(path)).ok();
    let missing = || Some(existing(directory_of(path))?.join(path.file_name()?));
    let canonical = existing(path).or_else(missing);
    canonical.unwrap_or_else(|| path.to_owned())
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = read_file::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
