//! GetHealthStatus (XKS API, "GetHealthStatus"): answered from the devices' own background checks, which really encrypt
//! and decrypt with a key that KMS never uses. Never asks a device, so that a hung one cannot delay it.

use super::cost::{Answer, Cost};
use crate::build_info;
use crate::ekm::{Condition, DeviceReport};
use crate::keystore::{KeyStore, State};
use crate::xks::{EkmFleetDetail, EkmHealth, Fault, FaultKind, HealthResponse};

/// The most devices that the answer may name.
const MAX_DETAILS: usize = 10;

/// The state of the store's devices.
///
/// # Errors
/// InvalidState for a disabled store.
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

/// The first vendor that is known: a fleet has one as a rule.
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
