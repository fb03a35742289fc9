//! `[server.tls.client_auth]`.

use crate::config::files;
use crate::server::{ClientAuth, ClientAuthMode};
use crate::toml_file::Section;

/// The value of `ca` for the built-in roots.
pub(super) const BUILT_IN_CA: &str = "amazon-trust-services";

/// The warning about `mode = "required"`.
const REQUIRED_IS_DEPRECATED: &str = "client_auth.mode = \"required\": AWS deprecates mTLS; once KMS shows no clientAuth certificate all requests fail; use \"optional\"";

/// `None` if there is an error; `Some(None)` if no client certificate is requested.
pub(super) fn settings(parent: &Section<'_>) -> Option<Option<ClientAuth>> {
    let Some(section) = parent.section("client_auth") else {
        return Some(None);
    };
    let mode = mode(&section);
    if mode == Some(None) {
        // The other keys may stay in the table while the mode is "off".
        warn_about_wildcards(&section, &section.strings("subjects").unwrap_or_default());
        section.string("ca");
        section.finish();
        return Some(None);
    }
    let subjects = subjects(&section);
    let ca = section.required_string("ca", "\"amazon-trust-services\"");
    section.finish();
    let auth = match (ca?, subjects?) {
        (BUILT_IN_CA, subjects) => ClientAuth::amazon(subjects),
        (path, subjects) => client_ca(&section, path, subjects)?,
    };
    Some(Some(auth.in_mode(mode??)))
}

/// `None` if there is an error; `Some(None)` for "off". The default is "required", which was the only mode of older versions.
fn mode(section: &Section<'_>) -> Option<Option<ClientAuthMode>> {
    let modes = [
        ("off", None),
        ("optional", Some(ClientAuthMode::Optional)),
        ("required", Some(ClientAuthMode::Required)),
    ];
    let mode = match section.has("mode") {
        true => section.choice("mode", &modes)?,
        false => Some(ClientAuthMode::Required),
    };
    if mode == Some(ClientAuthMode::Required) {
        section.warn("mode", REQUIRED_IS_DEPRECATED);
    }
    Some(mode)
}

fn subjects(section: &Section<'_>) -> Option<Vec<String>> {
    let example = "[\"cks.kms.<region>.amazonaws.com\"]";
    let subjects = match section.strings("subjects") {
        Some(subjects) if subjects.is_empty() => {
            section.error("subjects", format!("is empty; for example {example}"));
            None
        }
        Some(subjects) => Some(subjects),
        None => section.missing("subjects", example),
    };
    warn_about_wildcards(section, subjects.as_deref().unwrap_or_default());
    Some(subjects?.into_iter().map(str::to_owned).collect())
}

fn client_ca(section: &Section<'_>, path: &str, subjects: Vec<String>) -> Option<ClientAuth> {
    let pem = files::public(section, "ca", path)?;
    let auth = ClientAuth::from_pem(&pem, subjects);
    let auth = auth
        .map_err(|error| section.error("ca", error.to_string()))
        .ok()?;
    for warning in auth.warnings() {
        section.warn("ca", warning);
    }
    Some(auth)
}

/// Names are compared as a whole: a pattern would match no client.
fn warn_about_wildcards(section: &Section<'_>, subjects: &[&str]) {
    for subject in subjects.iter().filter(|subject| subject.contains('*')) {
        let problem = format!("{subject:?} is compared as a whole: its * is not a wildcard");
        section.warn("subjects", format!("{problem}; list each name"));
    }
}
