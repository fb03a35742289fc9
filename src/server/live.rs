//! What the server serves, and by which rules: replaced as a whole while it runs.
//!
//! # Invariants
//! - A request sees one configuration from its path to its answer: who was let in under the old one is answered by the old one.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use super::request::sample::Sample;
use super::settings::Limits;
use super::tls::settings::TlsSettings;
use crate::keystore::KeyStores;
use crate::operations::Authorization;

/// What may change while the server runs.
pub struct Serving {
    /// The key stores.
    pub stores: Arc<KeyStores>,
    /// The authorization policy, if there is one.
    pub authorization: Option<Arc<Authorization>>,
    /// For connections that come; those that are there live on with what they began with.
    pub tls: TlsSettings,
    /// Bounds.
    pub limits: Limits,
    /// `xksProxyFleetSize` in the health answer.
    pub fleet_size: u32,
    /// How long running requests may take after SIGTERM.
    pub grace_period: Duration,
    /// Which successful requests have a line in the log.
    pub sample: Sample,
}

/// A handle to what is served at the moment.
#[derive(Clone)]
pub struct Live(Arc<ArcSwap<Serving>>);

impl Live {
    /// A handle to this.
    pub fn new(serving: Serving) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(serving)))
    }

    /// What is served now. For a look, not to be kept.
    pub fn now(&self) -> Guard<Arc<Serving>> {
        self.0.load()
    }

    /// Serves this from now on.
    pub fn replace(&self, serving: Serving) {
        self.0.store(Arc::new(serving));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// No stores, under these limits.
    pub(in super::super) fn with_limits(limits: Limits) -> Live {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        Live::new(Serving {
            stores: Arc::default(),
            authorization: None,
            tls: TlsSettings::from_pem(certificate.as_bytes(), key.as_bytes(), None).unwrap(),
            limits,
            fleet_size: 1,
            grace_period: Duration::ZERO,
            sample: Sample::ALL,
        })
    }

    #[test]
    fn what_is_replaced_lives_on_with_who_has_it() {
        let live = with_limits(Limits::default());
        let before = live.now();
        let limits = Limits {
            max_body: 1,
            ..Limits::default()
        };
        let tls = before.tls.clone();
        live.replace(Serving {
            stores: Arc::default(),
            authorization: None,
            tls,
            limits,
            fleet_size: 2,
            grace_period: Duration::ZERO,
            sample: Sample::ALL,
        });
        assert_eq!((before.fleet_size, live.now().fleet_size), (1, 2));
        assert_eq!(live.clone().now().limits.max_body, 1);
    }
}
