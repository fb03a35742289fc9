//! The active configuration of the server. A reload replaces it as a whole.
//!
//! # Invariants
//! - A request uses one configuration from its authentication to its response, even if a reload happens in between.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use super::request::sample::Sample;
use super::settings::Limits;
use super::tls::settings::TlsSettings;
use crate::keystore::KeyStores;
use crate::operations::Authorization;

/// The configuration that may change while the server runs.
pub struct Serving {
    /// The key stores.
    pub stores: Arc<KeyStores>,
    /// The authorization policy, if one is configured.
    pub authorization: Option<Arc<Authorization>>,
    /// TLS for new connections. Established connections keep the previous one.
    pub tls: TlsSettings,
    /// The limits.
    pub limits: Limits,
    /// `xksProxyFleetSize` in the GetHealthStatus response.
    pub fleet_size: u32,
    /// The time that requests in progress may take after SIGTERM.
    pub grace_period: Duration,
    /// The share of successful requests that have an access log line.
    pub sample: Sample,
}

/// A handle to the active configuration; clones share it.
#[derive(Clone)]
pub struct Live(Arc<ArcSwap<Serving>>);

impl Live {
    /// Creates a handle with `serving` as the active configuration.
    pub fn new(serving: Serving) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(serving)))
    }

    /// Returns the active configuration. Do not keep the guard: clone the `Arc` in it instead.
    pub fn now(&self) -> Guard<Arc<Serving>> {
        self.0.load()
    }

    /// Replaces the active configuration.
    pub fn replace(&self, serving: Serving) {
        self.0.store(Arc::new(serving));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a configuration without key stores and with these limits.
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
    fn a_replaced_configuration_stays_valid_for_its_holders() {
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
