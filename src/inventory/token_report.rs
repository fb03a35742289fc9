//! The report on one HSM.

use super::devices::{Device, Opened};
use super::report::TokenReport;
use crate::hsm_protocol::GcmFinding;

pub(super) fn of(device: &Device) -> TokenReport {
    let name = device.name.to_string();
    match &device.opened {
        Ok(opened) => describe_token(name, &device.health_key, opened),
        Err(error) => TokenReport {
            name,
            token: None,
            gcm_profile: None,
            is_proved: false,
            faults: vec![format!("cannot be opened: {error}")],
        },
    }
}

fn describe_token(name: String, health_key: &str, opened: &Opened) -> TokenReport {
    let (gcm_profile, fault) = match opened.token.gcm() {
        GcmFinding::Proved(plan) => (Some(plan.clone()), None),
        // The HSM serves, but the deep health check cannot detect wrong results.
        GcmFinding::Unproved(plan, why) => {
            let how = format!("create one with `xks-proxy key create --label {health_key}`");
            let fault = format!("its AES-GCM cannot be checked: {why} ({how})");
            (Some(plan.clone()), Some(fault))
        }
        GcmFinding::Unusable(why) => (None, Some(format!("AES-GCM does not work: {why}"))),
    };
    let failed = opened.token.fault();
    let failed = failed.map(|error| format!("it failed while it was checked: {error}"));
    let faults: Vec<String> = fault.into_iter().chain(failed).collect();
    TokenReport {
        name,
        token: Some(opened.token.describe().to_owned()),
        is_proved: faults.is_empty(),
        gcm_profile,
        faults,
    }
}
