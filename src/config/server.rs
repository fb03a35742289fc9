//! `[server]` and the tables in it.

pub(super) mod certificate;
mod client_auth;
pub(super) mod client_subject;
mod limits;
pub(super) mod listen;
mod public_names;

use std::sync::Arc;
use std::time::Duration;

use crate::server::{ServerSettings, TlsSettings};
use crate::toml_file::Section;
use certificate::Certificates;
use listen::Listeners;

/// Reads the table; `None` if there is an error.
pub(super) fn settings(
    root: &Section<'_>,
    fleet_size: u32,
    listeners: &mut Listeners,
    certificates: &Certificates,
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
    let (limits, shared_sources) = limits::settings(&section);
    let tls = tls(&section, public_names::read(&section), certificates);
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

fn tls(
    parent: &Section<'_>,
    public_names: Arc<[String]>,
    certificates: &Certificates,
) -> Option<TlsSettings> {
    let Some(section) = parent.section("tls") else {
        return parent.missing("tls", "{ certificate = \"…\", private_key = \"…\" }");
    };
    let identity = certificate::identity(&section, public_names, certificates);
    let client_auth = client_auth::settings(&section);
    section.finish();
    let settings = TlsSettings::new(identity?, client_auth?);
    settings
        .map_err(|error| section.error("client_auth", error.to_string()))
        .ok()
}
