//! The difference between two configurations: names, never values.

mod restart;

use std::collections::BTreeMap;
use std::fmt;

use super::configuration::Configuration;
use crate::hsm::HsmSettings;
use crate::keystore::{KeySettings, KeyStoreSettings, State};
use crate::sigv4::Credential;

pub use restart::keep_until_restart;

/// One change of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The changed setting, such as `key_store.payments.key.orders`. Tables of an array have their names, not their positions.
    pub place: String,
    /// The kind of change: `added`, `removed`, `changed`, `enabled` or `disabled`.
    pub what: &'static str,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.what)
    }
}

/// All changes from one configuration to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The changes that take effect immediately, in the order of the configuration.
    pub applied: Vec<Change>,
    /// The changes that take effect only when the proxy is restarted.
    pub need_restart: Vec<Change>,
    /// The key stores and keys that were enabled or disabled, with their new states. `applied` also contains these changes.
    pub switched: Vec<(Change, State)>,
}

impl Changes {
    /// Compares two configurations.
    pub fn between(old: &Configuration, new: &Configuration) -> Self {
        let applied = keep_until_restart(old, new.clone());
        let mut changes = differences(old, &applied);
        changes.need_restart = differences(&applied, new).applied;
        changes
    }

    /// Returns whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.need_restart.is_empty()
    }

    fn add(&mut self, place: impl Into<String>, what: &'static str) {
        let place = place.into();
        self.applied.push(Change { place, what });
    }

    fn compare(&mut self, differs: bool, place: impl Into<String>) {
        if differs {
            self.add(place, "changed");
        }
    }

    fn server(&mut self, old: &Configuration, new: &Configuration) {
        let (before, now) = (&old.server, &new.server);
        let trusted = [before, now].map(|server| &server.proxy_protocol_trusted_sources);
        let names = [before, now].map(|server| server.tls.identity.public_names());
        self.compare(before.listen != now.listen, "server.listen");
        self.compare(old.admin != new.admin, "admin.listen");
        self.compare(
            trusted[0] != trusted[1],
            "server.proxy_protocol_trusted_sources",
        );
        self.compare(old.audit != new.audit, "audit");
        self.compare(old.log.format != new.log.format, "log.format");
        self.compare(old.log.otlp != new.log.otlp, "log.otlp");
        for name in now.tls.changes_since(&before.tls) {
            self.add(format!("server.tls.{name}"), "changed");
        }
        self.compare(names[0] != names[1], "server.public_names");
        self.compare(before.limits != now.limits, "server.limits");
        self.compare(
            before.shared_sources != now.shared_sources,
            "server.limits.shared_sources",
        );
        self.compare(
            before.grace_period != now.grace_period,
            "server.grace_period",
        );
        self.compare(before.fleet_size != now.fleet_size, "health.fleet_size");
        self.compare(old.log.level != new.log.level, "log.level");
        let samples = (old.access_log_sample, new.access_log_sample);
        self.compare(samples.0 != samples.1, "log.sample_successes");
        self.compare(old.hedge_delay != new.hedge_delay, "failover.hedge_delay");
    }

    fn vpc_endpoints(&mut self, old: &[KeyStoreSettings], new: &[KeyStoreSettings]) {
        for (name, (before, now)) in pairs(old, new, |store| store.name.clone()) {
            let settings =
                |store: Option<&KeyStoreSettings>| store.map(|s| s.vpc_endpoints.clone());
            let (before, now) = (
                settings(before).unwrap_or_default(),
                settings(now).unwrap_or_default(),
            );
            let parts = [
                ("allowed_vpc_endpoints", before.allowed != now.allowed),
                ("vpc_endpoint_mode", before.mode != now.mode),
            ];
            for (part, differs) in parts {
                self.compare(differs, format!("key_store.{name}.{part}"));
            }
        }
    }

    fn hsms(&mut self, old: &[HsmSettings], new: &[HsmSettings]) {
        let name = |hsm: &HsmSettings| hsm.name.to_string();
        for (name, pair) in pairs(old, new, name) {
            let place = format!("hsm.{name}");
            let Some((before, now)) = self.both(&place, pair) else {
                continue;
            };
            for part in now.changes_since(before) {
                self.add(format!("{place}.{part}"), "changed");
            }
        }
    }

    fn stores(&mut self, old: &[KeyStoreSettings], new: &[KeyStoreSettings]) {
        for (name, pair) in pairs(old, new, |store| store.name.clone()) {
            let place = format!("key_store.{name}");
            if let Some((before, now)) = self.both(&place, pair) {
                self.store(&place, before, now);
            }
        }
    }

    fn store(&mut self, place: &str, old: &KeyStoreSettings, new: &KeyStoreSettings) {
        self.switched(place, old.state, new.state);
        let parts = [
            ("path_prefix", old.prefix != new.prefix),
            ("region", old.region != new.region),
            ("hsms", old.hsms != new.hsms),
            ("quota", old.quota != new.quota),
            ("weight", old.share != new.share),
            (
                "legacy_ciphertexts",
                old.decrypts_aws_samples != new.decrypts_aws_samples,
            ),
        ];
        for (name, differs) in parts {
            self.compare(differs, format!("{place}.{name}"));
        }
        let credentials = |store: &KeyStoreSettings| store.credentials.clone();
        let (before, now) = (credentials(old), credentials(new));
        let (before, now) = (Vec::from_iter(before.iter()), Vec::from_iter(now.iter()));
        for (id, pair) in pairs(&before, &now, |c| c.id().as_str().to_owned()) {
            self.credential(&format!("{place}.credential.{id}"), pair);
        }
        for (id, pair) in pairs(&old.keys, &new.keys, |key| key.id().to_string()) {
            self.key(&format!("{place}.key.{id}"), pair);
        }
    }

    fn credential(&mut self, place: &str, pair: Pair<'_, &Credential>) {
        if let Some((before, now)) = self.both(place, pair)
            && !now.has_secret_of(before)
        {
            self.add(format!("{place}.secret"), "changed");
        }
    }

    fn key(&mut self, place: &str, pair: Pair<'_, KeySettings>) {
        let Some((before, now)) = self.both(place, pair) else {
            return;
        };
        self.switched(place, before.state(), now.state());
        let numbers = |key: &KeySettings| key.primary().number;
        self.compare(numbers(before) != numbers(now), format!("{place}.primary"));
        let has_other_tags = before.tags() != now.tags();
        let mut all = [before, now].map(|key| key.versions().collect::<Vec<_>>());
        all.iter_mut()
            .for_each(|versions| versions.sort_by_key(|v| v.number));
        let [before, now] = all;
        self.compare(before != now, format!("{place}.versions"));
        self.compare(has_other_tags, format!("{place}.tags"));
    }

    fn switched(&mut self, place: &str, old: State, new: State) {
        if old == new {
            return;
        }
        self.add(place, new.as_str());
        if let Some(change) = self.applied.last() {
            self.switched.push((change.clone(), new));
        }
    }

    /// Returns both values; if one is missing, records that it was added or removed.
    fn both<'a, T>(&mut self, place: &str, pair: Pair<'a, T>) -> Option<(&'a T, &'a T)> {
        match pair {
            (Some(before), Some(now)) => return Some((before, now)),
            (None, _) => self.add(place, "added"),
            (Some(_), None) => self.add(place, "removed"),
        }
        None
    }
}

/// Returns all differences as applied changes.
fn differences(old: &Configuration, new: &Configuration) -> Changes {
    let mut changes = Changes::default();
    changes.server(old, new);
    changes.compare(old.policy != new.policy, "policy");
    changes.hsms(&old.hsms, &new.hsms);
    changes.stores(&old.key_stores, &new.key_stores);
    changes.vpc_endpoints(&old.key_stores, &new.key_stores);
    changes
}

type Pair<'a, T> = (Option<&'a T>, Option<&'a T>);

/// Returns the elements of both lists by name. An element that is only in one list has no counterpart.
fn pairs<'a, T>(
    old: &'a [T],
    new: &'a [T],
    name: impl Fn(&T) -> String,
) -> BTreeMap<String, Pair<'a, T>> {
    let mut pairs: BTreeMap<String, Pair<'a, T>> = BTreeMap::new();
    for element in old {
        pairs.entry(name(element)).or_default().0 = Some(element);
    }
    for element in new {
        pairs.entry(name(element)).or_default().1 = Some(element);
    }
    pairs
}
