//! The tenant, the key and the settings of the tests.

use std::sync::Arc;

use super::fakes::PATIENCE;
use crate::ekm::{KeySelector, Tenant};
use crate::hsm_protocol::{Environment, GcmProfile, HsmSettings, PinReference, TokenSelector};

pub(in crate::hsm) fn tenant() -> Arc<Tenant> {
    let name = "store".into();
    Arc::new(Tenant { name, share: 1 })
}

pub(in crate::hsm) fn key() -> Arc<KeySelector> {
    Arc::new(KeySelector::Label("orders".into()))
}

pub(in crate::hsm) fn settings() -> HsmSettings {
    HsmSettings {
        name: "hsm-a".into(),
        module: "/nonexistent".into(),
        parameters: None,
        environment: Environment::default(),
        writable: Vec::new(),
        danger_no_sandbox: false,
        token: TokenSelector::Label("token".into()),
        pin: PinReference::None,
        sessions: 4,
        hang_timeout: PATIENCE,
        open_timeout: PATIENCE,
        gcm_profile: GcmProfile::Auto,
        verify_encryptions: false,
        health_key: "health".into(),
        health_interval: PATIENCE,
    }
}
