//! `[policy]`: where the rules are, and what becomes of a denial.

mod directory;

use super::files;
use super::section::Section;
use crate::keystore::KeyStoreSettings;
use crate::policy::{Names, Policy, PolicyMode, PolicySource};
use crate::read_file;

/// None when there is a fault; `Some(None)` when there is no policy.
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
        Err(faults) => {
            for fault in faults {
                section.fault("path", fault.to_string());
            }
            None
        }
    }
}

/// Warns about rules that name what these key stores do not have.
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

/// Warns about rules that ask for the result of client authentication when no client certificate is requested.
fn check_client_certificates(root: &Section<'_>, policy: &Policy, section: &Section<'_>) {
    let rules = policy.rules_about_client_certificates();
    if rules.is_empty() || requests_client_certificates(root) {
        return;
    }
    for rule in rules {
        let what = format!("{rule:?} asks for client_certificate, which is always \"off\"");
        let remedy = "set server.tls.client_auth.mode to \"optional\"";
        section.warn("path", format!("{what}; {remedy}"));
    }
}

/// Also for the commands that read no other part of `[server]`.
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

/// The file, or every policy file of the directory, in the order of their names.
fn sources(section: &Section<'_>, path: &str) -> Option<Vec<PolicySource>> {
    let place = section.resolve(path);
    // A file system that does not answer is an error of the reading below.
    if !read_file::look(&place).is_ok_and(|found| found.is_dir()) {
        return Some(vec![source(section, path)?]);
    }
    let names = directory::policies(section, &place)?;
    // As if each were written in the configuration: relative to its directory, as the path of theirs is.
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
        section.fault("path", format!("{path} is not UTF-8 text"));
        return None;
    };
    let name = std::path::Path::new(path).file_name();
    Some(PolicySource {
        name: name.map_or_else(|| path.to_owned(), |n| n.to_string_lossy().into_owned()),
        text: text.to_owned(),
    })
}
