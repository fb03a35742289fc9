//! Assessment of measurements. The functions are pure, so that tests cover the edge of each bound.

use std::time::Duration;

use serde::Deserialize;

use super::report::Check;

/// The timeout of KMS.
const PATIENCE: Duration = Duration::from_millis(250);

/// AWS's suggested alarm on the average latency.
const SLOW: Duration = Duration::from_millis(200);

/// AWS's recommendation for the round trip.
const ROUND_TRIP: Duration = Duration::from_millis(35);

/// The maximum clock difference of a signature, in seconds (XKS API, "Authentication").
const SKEW: u64 = 300;

/// Clocks with NTP differ by one or two seconds.
const UNUSUAL_SKEW: u64 = 30;

/// The checked fields of a GetHealthStatus response.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    xks_proxy_fleet_size: u32,
    xks_proxy_vendor: String,
    xks_proxy_model: String,
    ekm_vendor: String,
    ekm_fleet_details: Vec<Ekm>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ekm {
    id: String,
    #[serde(default)]
    #[serde(rename = "model")]
    _model: String,
    health_status: String,
}

/// A GetKeyMetadata response.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyMetadata {
    key_spec: String,
    key_usage: Vec<String>,
    key_status: String,
}

/// Checks the network round trip: the shortest time of several TCP connects.
pub fn round_trip(quickest: Duration) -> Check {
    const NAME: &str = "round trip";
    let finding = format!("{} ms from this machine", millis(quickest));
    match quickest <= ROUND_TRIP {
        true => Check::ok(NAME, finding),
        false => Check::warn(
            NAME,
            finding,
            "AWS recommends at most 35 ms between the Region and the proxy: probe from the Region, or move the proxy nearer to it",
        ),
    }
}

/// Checks the latencies of an operation.
pub fn latency(name: &'static str, latencies: &[Duration]) -> Check {
    let mut sorted = latencies.to_vec();
    sorted.sort();
    let (Some(&median), Some(&slowest)) = (sorted.get(sorted.len() / 2), sorted.last()) else {
        return Check::skipped(name, "no response to measure");
    };
    let finding = format!(
        "median {} ms, slowest {} ms of {}",
        millis(median),
        millis(slowest),
        sorted.len()
    );
    if median > PATIENCE {
        return Check::fail(
            name,
            finding,
            "KMS times out after 250 ms: check the HSM's latency, the network, and the proxy's xks_hsm metrics",
        );
    }
    if median > SLOW || slowest > PATIENCE {
        return Check::warn(
            name,
            finding,
            "KMS times out after 250 ms, and AWS recommends an alarm above 200 ms on average: check the HSM's latency and load",
        );
    }
    Check::ok(name, finding)
}

/// Checks the difference of the clocks in seconds, theirs minus ours.
pub fn clock(difference: Option<i64>) -> Check {
    const NAME: &str = "clock";
    let Some(difference) = difference else {
        return Check::skipped(NAME, "the response has no Date");
    };
    let finding = format!("the server's clock differs by {difference:+} s from this machine's");
    match difference.unsigned_abs() {
        skew if skew <= UNUSUAL_SKEW => Check::ok(NAME, finding),
        skew if skew <= SKEW => Check::warn(
            NAME,
            finding,
            "synchronize both clocks with NTP: signatures are rejected beyond 5 minutes",
        ),
        _ => Check::fail(
            NAME,
            finding,
            "synchronize both clocks with NTP: a signature is valid for 5 minutes",
        ),
    }
}

/// Checks the fleet of the proxy.
pub fn health(body: &[u8]) -> Check {
    const NAME: &str = "health";
    let health: Health = match serde_json::from_slice(body) {
        Ok(health) => health,
        Err(error) => {
            return Check::fail(
                NAME,
                format!("not a GetHealthStatus response: {error}"),
                "KMS needs all of its fields: check the proxy",
            );
        }
    };
    let fleet = &health.ekm_fleet_details;
    let states: Vec<String> = fleet
        .iter()
        .map(|ekm| format!("{} {}", ekm.id, ekm.health_status))
        .collect();
    let Health {
        xks_proxy_fleet_size: size,
        xks_proxy_vendor: vendor,
        xks_proxy_model: model,
        ekm_vendor,
        ..
    } = &health;
    let finding = format!(
        "{vendor} {model}, fleet of {size}; EKM by {ekm_vendor}: {}",
        states.join(", ")
    );
    check_fleet(NAME, fleet, finding, *size)
}

fn check_fleet(name: &'static str, fleet: &[Ekm], finding: String, size: u32) -> Check {
    let count = |state: &str| {
        fleet
            .iter()
            .filter(|ekm| ekm.health_status == state)
            .count()
    };
    let (active, degraded) = (count("ACTIVE"), count("DEGRADED"));
    if active + degraded == 0 {
        return Check::fail(
            name,
            finding,
            "KMS does not connect while every EKM is UNAVAILABLE: check the proxy's log for the error of the HSM",
        );
    }
    if !(1..=10).contains(&fleet.len()) || size == 0 {
        return Check::fail(
            name,
            finding,
            "KMS accepts a fleet of at least 1 and details of 1 to 10 EKMs",
        );
    }
    if active < fleet.len() {
        return Check::warn(
            name,
            finding,
            "an EKM is not healthy: check the proxy's log",
        );
    }
    match fleet.len() {
        1 => Check::warn(name, finding, "AWS recommends at least two EKMs"),
        _ => Check::ok(name, finding),
    }
}

/// Checks that KMS can create a key for this external key.
pub fn key(body: &[u8]) -> Check {
    const NAME: &str = "key";
    let key: KeyMetadata = match serde_json::from_slice(body) {
        Ok(key) => key,
        Err(error) => {
            return Check::fail(
                NAME,
                format!("not a GetKeyMetadata response: {error}"),
                "KMS needs all of its fields: check the proxy",
            );
        }
    };
    let has = |usage: &str| key.key_usage.iter().any(|found| found == usage);
    let finding = format!(
        "{}, {}, {}",
        key.key_spec,
        key.key_usage.join(" "),
        key.key_status
    );
    if key.key_spec != "AES_256" {
        return Check::fail(
            NAME,
            finding,
            "KMS accepts AES_256 only: create another key in the HSM",
        );
    }
    if !has("ENCRYPT") || !has("DECRYPT") {
        return Check::fail(
            NAME,
            finding,
            "KMS needs a key with ENCRYPT and DECRYPT (CKA_ENCRYPT, CKA_DECRYPT)",
        );
    }
    match key.key_status == "ENABLED" {
        true => Check::ok(NAME, finding),
        false => Check::fail(NAME, finding, "enable the key: it is disabled at the proxy"),
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::super::report::CheckResult;
    use super::*;

    fn ms(millis: &[u64]) -> Vec<Duration> {
        millis.iter().copied().map(Duration::from_millis).collect()
    }

    #[test]
    fn latencies() {
        for (latencies, result) in [
            (&[3, 5, 250][..], CheckResult::Ok),
            (&[3, 5, 251], CheckResult::Warn),
            (&[201, 201, 201], CheckResult::Warn),
            (&[1, 251, 252], CheckResult::Fail),
            (&[], CheckResult::Skipped),
        ] {
            assert_eq!(latency("x", &ms(latencies)).result, result, "{latencies:?}");
        }
        assert_eq!(
            round_trip(Duration::from_millis(35)).result,
            CheckResult::Ok
        );
        assert_eq!(
            round_trip(Duration::from_millis(36)).result,
            CheckResult::Warn
        );
    }

    #[test]
    fn clocks() {
        for (difference, result) in [
            (Some(0), CheckResult::Ok),
            (Some(-30), CheckResult::Ok),
            (Some(31), CheckResult::Warn),
            (Some(-300), CheckResult::Warn),
            (Some(301), CheckResult::Fail),
            (None, CheckResult::Skipped),
        ] {
            assert_eq!(clock(difference).result, result, "{difference:?}");
        }
    }

    fn health_result(states: &[&str]) -> CheckResult {
        let details: Vec<_> = states
            .iter()
            .map(|s| serde_json::json!({"id": "a", "model": "m", "healthStatus": s}))
            .collect();
        let body = serde_json::json!({"xksProxyFleetSize": 1, "xksProxyVendor": "v", "xksProxyModel": "m", "ekmVendor": "e", "ekmFleetDetails": details});
        health(body.to_string().as_bytes()).result
    }

    #[test]
    fn fleets() {
        assert_eq!(health_result(&["ACTIVE", "ACTIVE"]), CheckResult::Ok);
        assert_eq!(health_result(&["ACTIVE"]), CheckResult::Warn);
        assert_eq!(health_result(&["ACTIVE", "UNAVAILABLE"]), CheckResult::Warn);
        assert_eq!(
            health_result(&["UNAVAILABLE", "UNAVAILABLE"]),
            CheckResult::Fail
        );
        assert_eq!(health_result(&[]), CheckResult::Fail);
        assert_eq!(health_result(&["ACTIVE"; 11]), CheckResult::Fail);
        assert_eq!(health(b"<html>").result, CheckResult::Fail);
    }

    #[test]
    fn keys() {
        let result = |spec, usage: &[&str], status| {
            let body = serde_json::json!({"keySpec": spec, "keyUsage": usage, "keyStatus": status});
            key(body.to_string().as_bytes()).result
        };
        let both = ["ENCRYPT", "DECRYPT"];
        assert_eq!(result("AES_256", &both, "ENABLED"), CheckResult::Ok);
        assert_eq!(result("AES_128", &both, "ENABLED"), CheckResult::Fail);
        assert_eq!(result("AES_256", &both[..1], "ENABLED"), CheckResult::Fail);
        assert_eq!(result("AES_256", &both, "DISABLED"), CheckResult::Fail);
        assert_eq!(key(b"{}").result, CheckResult::Fail);
    }
}
