//! `[server]` and the tables in it.

use std::sync::Arc;
use std::time::Duration;

use super::listen::{self, Listeners};
use super::section::Section;
use super::{certificate, files, public_names, values};
use crate::connections::Networks;
use crate::server::{ClientAuth, ClientAuthMode, Limits, ServerSettings, TlsSettings};

/// KMS gives up after this; a longer timeout only answers to nobody.
const KMS_TIMEOUT: Duration = Duration::from_millis(250);

/// The value of `client_auth.ca` that stands for the built-in roots.
pub(super) const BUILT_IN_CA: &str = "amazon-trust-services";

/// The warning about `client_auth.mode = "required"`.
const REQUIRED_IS_DEPRECATED: &str = "client_auth.mode = \"required\": AWS deprecates mTLS; once KMS shows no clientAuth certificate all requests fail; use \"optional\"";

/// The table.
pub(super) fn settings(
    root: &Section<'_>,
    fleet_size: u32,
    listeners: &mut Listeners,
) -> Option<ServerSettings> {
    let Some(section) = root.section("server") else {
        return root.missing("server", "{ listen = [\"0.0.0.0:443\"], … }");
    };
    let addresses = listeners.read(&section, "[\"0.0.0.0:443\"]");
    let grace = Duration::ZERO..=Duration::from_secs(3_600);
    let grace_period = section
        .duration("grace_period", grace)
        .unwrap_or(Duration::from_secs(10));
    let proxy_protocol_trusted_sources = listen::trusted_sources(&section);
    let (limits, shared_sources) = limits(&section);
    let tls = tls(&section, public_names::read(&section));
    section.finish();
    Some(ServerSettings {
        listen: addresses?,
        proxy_protocol_trusted_sources,
        grace_period,
        tls: tls?,
        limits,
        shared_sources,
        fleet_size,
    })
}

fn limits(parent: &Section<'_>) -> (Limits, Networks) {
    let mut limits = Limits::default();
    let Some(section) = parent.section("limits") else {
        return (limits, Networks::default());
    };
    limits_of_connections(&section, &mut limits);
    let shared_sources = shared_sources(&section);
    let seconds = |from: f64, to: u64| Duration::from_secs_f64(from)..=Duration::from_secs(to);
    if let Some(timeout) = section.duration("request_timeout", seconds(0.001, 60)) {
        if timeout >= KMS_TIMEOUT {
            section.warn(
                "request_timeout",
                "KMS gives up after 250ms; a later answer is lost",
            );
        }
        limits.request_timeout = timeout;
    }
    let count = |key, range| {
        section
            .integer(key, range)
            .and_then(|n| usize::try_from(n).ok())
    };
    limits.max_in_flight = count("max_in_flight", 1..=1_000_000).unwrap_or(limits.max_in_flight);
    limits.header_timeout = section
        .duration("header_timeout", seconds(0.01, 300))
        .unwrap_or(limits.header_timeout);
    limits.idle_timeout = section
        .duration("idle_timeout", seconds(0.01, 3_600))
        .unwrap_or(limits.idle_timeout);
    limits.body_timeout = section
        .duration("body_timeout", seconds(0.001, 60))
        .unwrap_or(limits.body_timeout);
    let size = |text: &str| values::size(text, &(1_024..=16 << 20));
    limits.max_body = section.parsed("max_body", size).unwrap_or(limits.max_body);
    section.finish();
    (limits, shared_sources)
}

fn limits_of_connections(section: &Section<'_>, limits: &mut Limits) {
    let count = |key| {
        let count = section.integer(key, 1..=1_000_000);
        count.and_then(|n| usize::try_from(n).ok())
    };
    limits.max_connections = count("max_connections").unwrap_or(limits.max_connections);
    limits.max_unverified = count("max_unverified").unwrap_or(limits.max_unverified);
    let per_source = count("max_unverified_per_source");
    limits.max_unverified_per_source = per_source.unwrap_or(limits.max_unverified_per_source);
    if limits.max_unverified_per_source > limits.max_unverified {
        // The key that was written; the other one is the default.
        let key = per_source.map_or("max_unverified", |_| "max_unverified_per_source");
        section.warn(
            key,
            "max_unverified_per_source is above max_unverified: one source may have all of them",
        );
    }
    let age = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
    let age = section.duration("max_connection_age", age);
    limits.max_connection_age = age.unwrap_or(limits.max_connection_age);
}

fn shared_sources(section: &Section<'_>) -> Networks {
    let mut networks = Networks::default();
    for text in section.strings("shared_sources").unwrap_or_default() {
        if let Err(problem) = networks.add(text) {
            section.fault("shared_sources", problem);
        }
    }
    if networks.has_all_addresses() {
        let effect = "has every address: max_unverified_per_source has no effect";
        section.warn("shared_sources", effect);
    }
    networks
}

fn tls(parent: &Section<'_>, public_names: Arc<[String]>) -> Option<TlsSettings> {
    let Some(section) = parent.section("tls") else {
        return parent.missing("tls", "{ certificate = \"…\", private_key = \"…\" }");
    };
    let identity = certificate::identity(&section, public_names);
    let client_auth = client_auth(&section);
    section.finish();
    let built = TlsSettings::new(identity?, client_auth?);
    built
        .map_err(|error| section.fault("client_auth", error.to_string()))
        .ok()
}

/// None when there is a fault; `Some(None)` when no client certificate is asked for.
fn client_auth(parent: &Section<'_>) -> Option<Option<ClientAuth>> {
    let Some(section) = parent.section("client_auth") else {
        return Some(None);
    };
    let mode = client_auth_mode(&section);
    if mode == Some(None) {
        // Both are read, so that the mode can change without them.
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

/// None when there is a fault; `Some(None)` is off. A table without a mode is required: it was the only mode of older versions.
fn client_auth_mode(section: &Section<'_>) -> Option<Option<ClientAuthMode>> {
    let modes = [
        ("off", None),
        ("optional", Some(ClientAuthMode::Optional)),
        ("required", Some(ClientAuthMode::Required)),
    ];
    let mode = match section.names().iter().any(|name| name == "mode") {
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
            section.fault("subjects", format!("is empty; for example {example}"));
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
    let built = ClientAuth::from_pem(&pem, subjects);
    let auth = built
        .map_err(|error| section.fault("ca", error.to_string()))
        .ok()?;
    for warning in auth.warnings() {
        section.warn("ca", warning);
    }
    Some(auth)
}

/// A name is compared as a whole: a rule that was meant as a pattern would let nobody in.
fn warn_about_wildcards(section: &Section<'_>, subjects: &[&str]) {
    for subject in subjects.iter().filter(|subject| subject.contains('*')) {
        let what = format!("{subject:?} is compared as a whole: its * is not a wildcard");
        section.warn("subjects", format!("{what}; list each name"));
    }
}
