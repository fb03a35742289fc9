//! What is another in a new configuration than in the one before: names, never values.

use std::collections::BTreeMap;
use std::fmt;

use super::Configuration;
use crate::hsm::HsmSettings;
use crate::keystore::{KeySettings, KeyStoreSettings, State};
use crate::sigv4::Credential;

/// One change: where it is, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Such as `key_store.payments.key.orders`: by names, which stay when tables are moved about.
    pub place: String,
    /// Such as `added`.
    pub what: &'static str,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.what)
    }
}

/// Every change from one configuration to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What takes effect at once, in the order of the configuration.
    pub applied: Vec<Change>,
    /// What takes effect with the next start only.
    pub need_restart: Vec<Change>,
    /// Of those that are applied: what was switched off or on by its owner, and which it is now.
    pub switched: Vec<(Change, State)>,
}

impl Changes {
    /// From `old` to `new`.
    pub fn between(old: &Configuration, new: &Configuration) -> Self {
        let mut changes = Self::default();
        changes.server(old, new);
        changes.changed(old.policy != new.policy, "policy");
        changes.hsms(&old.hsms, &new.hsms);
        changes.stores(&old.key_stores, &new.key_stores);
        changes.vpc_endpoints(old, new);
        changes
    }

    /// Whether trusted sources wait for a restart: they belong to listeners that do.
    pub fn wait_for_listeners(old: &Configuration, new: &Configuration) -> bool {
        old.server.listen != new.server.listen || old.admin != new.admin
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.need_restart.is_empty()
    }

    fn apply(&mut self, place: impl Into<String>, what: &'static str) {
        let place = place.into();
        self.applied.push(Change { place, what });
    }

    fn changed(&mut self, is_another: bool, place: impl Into<String>) {
        if is_another {
            self.apply(place, "changed");
        }
    }

    fn postponed(&mut self, is_another: bool, place: impl Into<String>) {
        if is_another {
            let (place, what) = (place.into(), "changed");
            self.need_restart.push(Change { place, what });
        }
    }

    fn server(&mut self, old: &Configuration, new: &Configuration) {
        let (before, now) = (&old.server, &new.server);
        self.postponed(before.listen != now.listen, "server.listen");
        self.postponed(old.admin != new.admin, "admin.listen");
        self.trusted_sources(old, new);
        self.postponed(old.audit != new.audit, "audit");
        self.postponed(old.log.format != new.log.format, "log.format");
        self.postponed(old.log.otlp != new.log.otlp, "log.otlp");
        for name in now.tls.changes_since(&before.tls) {
            self.apply(format!("server.tls.{name}"), "changed");
        }
        let names = [before, now].map(|server| server.tls.identity.public_names());
        self.changed(names[0] != names[1], "server.public_names");
        self.changed(before.limits != now.limits, "server.limits");
        self.changed(
            before.shared_sources != now.shared_sources,
            "server.limits.shared_sources",
        );
        self.changed(
            before.grace_period != now.grace_period,
            "server.grace_period",
        );
        self.changed(before.fleet_size != now.fleet_size, "health.fleet_size");
        self.changed(old.log.level != new.log.level, "log.level");
        self.changed(
            old.access_log_sample != new.access_log_sample,
            "log.sample_successes",
        );
        self.changed(old.hedge_delay != new.hedge_delay, "failover.hedge_delay");
    }

    /// Trusted sources that come with other listeners wait for these.
    fn trusted_sources(&mut self, old: &Configuration, new: &Configuration) {
        let trusted = |one: &Configuration| one.server.proxy_protocol_trusted_sources.clone();
        let (differs, place) = (
            trusted(old) != trusted(new),
            "server.proxy_protocol_trusted_sources",
        );
        match Self::wait_for_listeners(old, new) {
            true => self.postponed(differs, place),
            false => self.changed(differs, place),
        }
    }

    /// Without a listener that receives VPC endpoint ids, their lists wait for it.
    fn vpc_endpoints(&mut self, old: &Configuration, new: &Configuration) {
        let stores = pairs(&old.key_stores, &new.key_stores, |store| store.name.clone());
        for (name, (before, now)) in stores {
            let of = |store: Option<&KeyStoreSettings>| store.map(|s| s.vpc_endpoints.clone());
            let (before, now) = (of(before).unwrap_or_default(), of(now).unwrap_or_default());
            let parts = [
                ("allowed_vpc_endpoints", before.allowed != now.allowed),
                ("vpc_endpoint_mode", before.mode != now.mode),
            ];
            for (part, differs) in parts {
                let place = format!("key_store.{name}.{part}");
                match old.receives_vpc_endpoints() {
                    true => self.changed(differs, place),
                    false => self.postponed(differs, place),
                }
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
                self.apply(format!("{place}.{part}"), "changed");
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
            ("fair", old.share != new.share),
            (
                "legacy_ciphertexts",
                old.decrypts_aws_samples != new.decrypts_aws_samples,
            ),
        ];
        for (name, is_another) in parts {
            self.changed(is_another, format!("{place}.{name}"));
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
            self.apply(format!("{place}.secret"), "changed");
        }
    }

    fn key(&mut self, place: &str, pair: Pair<'_, KeySettings>) {
        let Some((before, now)) = self.both(place, pair) else {
            return;
        };
        self.switched(place, before.state(), now.state());
        let numbers = |key: &KeySettings| key.primary().number;
        self.changed(numbers(before) != numbers(now), format!("{place}.primary"));
        let is_tagged_otherwise = before.tags() != now.tags();
        let mut all = [before, now].map(|key| key.versions().collect::<Vec<_>>());
        all.iter_mut()
            .for_each(|versions| versions.sort_by_key(|v| v.number));
        let [before, now] = all;
        self.changed(before != now, format!("{place}.versions"));
        self.changed(is_tagged_otherwise, format!("{place}.tags"));
    }

    fn switched(&mut self, place: &str, old: State, new: State) {
        if old == new {
            return;
        }
        self.apply(place, new.as_str());
        if let Some(change) = self.applied.last() {
            self.switched.push((change.clone(), new));
        }
    }

    /// Both, or a note that one of them is not there.
    fn both<'a, T>(&mut self, place: &str, pair: Pair<'a, T>) -> Option<(&'a T, &'a T)> {
        match pair {
            (Some(before), Some(now)) => return Some((before, now)),
            (None, _) => self.apply(place, "added"),
            (Some(_), None) => self.apply(place, "removed"),
        }
        None
    }
}

type Pair<'a, T> = (Option<&'a T>, Option<&'a T>);

/// What has one name in both lists, by name; what is gone or new stands alone.
fn pairs<'a, T>(
    old: &'a [T],
    new: &'a [T],
    name: impl Fn(&T) -> String,
) -> BTreeMap<String, Pair<'a, T>> {
    let mut pairs: BTreeMap<String, Pair<'a, T>> = BTreeMap::new();
    for one in old {
        pairs.entry(name(one)).or_default().0 = Some(one);
    }
    for one in new {
        pairs.entry(name(one)).or_default().1 = Some(one);
    }
    pairs
}
