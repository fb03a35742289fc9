//! `[policy]`: the files with the rules, and whether a denial is enforced.

mod directory;

use super::files;
use crate::keystore::KeyStoreSettings;
use crate::policy::{Names, Policy, PolicyMode, PolicySource};
use crate::read_file;
use crate::toml_file::Section;

/// `None` if there is an error; `Some(None)` without a policy.
pub(super) fn settings(root: &Section<'_>) -> Option<Option<Policy>> {
    let Some(section) = root.section("policy") else {
        return Some(None);
    };
    let engine = section.choice("engine", &[("cedar", ())]);
    let engine = engine.or_else(|| section.missing("engine", "\"cedar\""));
    let modes = [
        ("enforce", PolicyMode::Enforce),
        ("observe", PolicyMode::Observe),
    ];
    let mode = section
        .choice("mode", &modes)
        .unwrap_or(PolicyMode::Enforce);
    let path = section.required_string("path", "\"/etc/xks-proxy/policy\"");
    section.finish();
    let sources = sources(&section, path?);
    engine?;
    match Policy::load(&sources?, mode) {
        Ok((policy, warnings)) => {
            for warning in warnings {
                section.warn("path", warning.to_string());
            }
            Some(Some(policy))
        }
        Err(errors) => {
            for error in errors {
                section.error("path", error.to_string());
            }
            None
        }
    }
}

/// Warns about rules with names that these key stores do not have.
pub(super) fn check_names(
    root: &Section<'_>,
    policy: Option<&Policy>,
    stores: &[KeyStoreSettings],
) {
    let Some((policy, section)) = policy.zip(root.section("policy")) else {
        return;
    };
    for warning in policy.unknown_names(&names(stores)) {
        section.warn("path", warning.to_string());
    }
    check_client_certificates(root, policy, &section);
}

/// Warns about rules that test the result of client authentication if no client certificate is requested.
fn check_client_certificates(root: &Section<'_>, policy: &Policy, section: &Section<'_>) {
    let rules = policy.rules_about_client_certificates();
    if rules.is_empty() || requests_client_certificates(root) {
        return;
    }
    for rule in rules {
        let problem = format!("{rule:?} tests client_certificate, which is always \"off\"");
        let action = "set server.tls.client_auth.mode to \"optional\"";
        section.warn("path", format!("{problem}; {action}"));
    }
}

/// Reads only this key: some commands read no other part of `[server]`.
fn requests_client_certificates(root: &Section<'_>) -> bool {
    let tls = root
        .section("server")
        .and_then(|server| server.section("tls"));
    let client_auth = tls.and_then(|tls| tls.section("client_auth"));
    client_auth.is_some_and(|client_auth| !client_auth.is_word("mode", "off"))
}

fn names(stores: &[KeyStoreSettings]) -> Names {
    let mut names = Names::default();
    for store in stores {
        names.add_store(&store.name, &store.region);
        for key in &store.keys {
            let tags = key.tags().iter().map(|(name, _)| name.as_str());
            names.add_key(&store.name, key.id().as_str(), key.labels(), tags);
        }
    }
    names
}

/// Reads the file, or all policy files of the directory in the order of their names.
fn sources(section: &Section<'_>, path: &str) -> Option<Vec<PolicySource>> {
    let resolved = section.resolve(path);
    // If the file system does not answer, reading the file below fails.
    if !read_file::metadata(&resolved).is_ok_and(|found| found.is_dir()) {
        return Some(vec![source(section, path)?]);
    }
    let names = directory::policies(section, &resolved)?;
    // These paths are relative to the directory of the configuration, like `path`.
    let paths = names
        .iter()
        .map(|name| std::path::Path::new(path).join(name));
    let sources: Vec<_> = paths
        .map(|path| source(section, &path.to_string_lossy()))
        .collect();
    sources.into_iter().collect()
}

fn source(section: &Section<'_>, path: &str) -> Option<PolicySource> {
    let bytes = files::public(section, "path", path)?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        section.error("path", format!("{path} is not UTF-8 text"));
        return None;
    };
    let name = std::path::Path::new(path).file_name();
    Some(PolicySource {
        name: name.map_or_else(|| path.to_owned(), |n| n.to_string_lossy().into_owned()),
        text: text.to_owned(),
    })
}
