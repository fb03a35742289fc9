//! `[server.limits]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::connections::Networks;
use crate::server::Limits;
use crate::toml_file::{Section, values};

/// The request timeout of KMS: it discards later responses.
const KMS_TIMEOUT: Duration = Duration::from_millis(250);

/// Reads the limits, and the sources without a limit per source.
pub(super) fn settings(parent: &Section<'_>) -> (Limits, Networks) {
    let mut limits = Limits::default();
    let Some(section) = parent.section("limits") else {
        return (limits, Networks::default());
    };
    connections(&section, &mut limits);
    timeouts(&section, &mut limits);
    let shared_sources = shared_sources(&section);
    limits.max_in_flight = count(&section, "max_in_flight").unwrap_or(limits.max_in_flight);
    let size = |text: &str| values::size(text, &(1_024..=16 << 20));
    limits.max_body = section.parsed("max_body", size).unwrap_or(limits.max_body);
    section.finish();
    (limits, shared_sources)
}

fn timeouts(section: &Section<'_>, limits: &mut Limits) {
    if let Some(timeout) = section.duration("request_timeout", seconds(0.001, 60)) {
        if timeout >= KMS_TIMEOUT {
            section.warn(
                "request_timeout",
                "KMS gives up after 250ms; a later answer is lost",
            );
        }
        limits.request_timeout = timeout;
    }
    limits.header_timeout = section
        .duration("header_timeout", seconds(0.01, 300))
        .unwrap_or(limits.header_timeout);
    limits.idle_timeout = section
        .duration("idle_timeout", seconds(0.01, 3_600))
        .unwrap_or(limits.idle_timeout);
    limits.body_timeout = section
        .duration("body_timeout", seconds(0.001, 60))
        .unwrap_or(limits.body_timeout);
}

fn seconds(from: f64, to: u64) -> RangeInclusive<Duration> {
    Duration::from_secs_f64(from)..=Duration::from_secs(to)
}

fn count(section: &Section<'_>, key: &str) -> Option<usize> {
    let count = section.integer(key, 1..=1_000_000);
    count.and_then(|count| usize::try_from(count).ok())
}

fn connections(section: &Section<'_>, limits: &mut Limits) {
    limits.max_connections = count(section, "max_connections").unwrap_or(limits.max_connections);
    limits.max_unverified = count(section, "max_unverified").unwrap_or(limits.max_unverified);
    let per_source = count(section, "max_unverified_per_source");
    limits.max_unverified_per_source = per_source.unwrap_or(limits.max_unverified_per_source);
    if limits.max_unverified_per_source > limits.max_unverified {
        // At least one of the two keys is in the file: the defaults are not in conflict.
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
            section.error("shared_sources", problem);
        }
    }
    if networks.has_all_addresses() {
        let effect = "has every address: max_unverified_per_source has no effect";
        section.warn("shared_sources", effect);
    }
    networks
}
