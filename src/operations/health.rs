//! GetHealthStatus (XKS API, "GetHealthStatus"): returns the results of background health checks, which encrypt and decrypt with a key that KMS never
//! uses. The operation itself uses no HSM, so an HSM that hangs cannot delay it.

use super::cost::{Answer, Cost};
use crate::build_info;
use crate::ekm::{Condition, DeviceReport};
use crate::keystore::{KeyStore, State};
use crate::xks::{EkmFleetDetail, EkmHealth, Fault, FaultKind, HealthResponse};

/// The maximum number of HSMs in the response.
const MAX_DETAILS: usize = 10;

/// Returns the state of the key store's HSMs.
///
/// # Errors
/// A [`Fault`] with the name InvalidState for a disabled key store.
pub fn health(store: &KeyStore, fleet_size: u32) -> Result<Answer<HealthResponse>, Fault> {
    if store.state == State::Disabled {
        return Err(FaultKind::KeyStoreDisabled.into());
    }
    let reports = store.fleet.reports();
    let value = HealthResponse {
        xks_proxy_fleet_size: fleet_size.max(1),
        xks_proxy_vendor: build_info::VENDOR.into(),
        xks_proxy_model: build_info::MODEL.into(),
        ekm_vendor: vendor(&reports),
        ekm_fleet_details: reports.into_iter().take(MAX_DETAILS).map(detail).collect(),
    };
    let cost = Cost::default();
    Ok(Answer { value, cost })
}

/// Returns the first known vendor. Usually all HSMs of a fleet have the same vendor.
fn vendor(reports: &[DeviceReport]) -> String {
    let known = reports
        .iter()
        .map(|report| &report.vendor)
        .find(|vendor| !vendor.is_empty());
    known.cloned().unwrap_or_else(|| "unknown".into())
}

fn detail(report: DeviceReport) -> EkmFleetDetail {
    EkmFleetDetail {
        id: report.name.to_string(),
        model: match report.model.is_empty() {
            true => "unknown".into(),
            false => report.model,
        },
        health_status: match report.condition {
            Condition::Healthy => EkmHealth::Active,
            Condition::Impaired => EkmHealth::Degraded,
            Condition::Down => EkmHealth::Unavailable,
        },
    }
}
