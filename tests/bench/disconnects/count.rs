//! The counts of the same requests in each record.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::connection::Outcome;
use crate::control::{Control, Function};
use crate::target::Proxy;

/// The paths of the records.
pub struct Places {
    pub proxy: Arc<Proxy>,
    pub log: PathBuf,
    pub trail: PathBuf,
    pub devices: Vec<Control>,
}

/// The counts.
#[derive(Debug)]
pub struct Counted {
    pub verified: u64,
    pub counts: u64,
    pub access_lines: u64,
    pub audit_lines: u64,
    pub audit_ids: u64,
    pub audit_calls: u64,
    pub module_calls: u64,
    pub device_calls: u64,
}

impl Counted {
    /// Returns whether the counts agree.
    pub fn agrees(&self) -> bool {
        let request_counts = [
            self.counts,
            self.access_lines,
            self.audit_lines,
            self.audit_ids,
        ];
        let call_counts = [self.module_calls, self.device_calls];
        request_counts == [self.verified; 4] && call_counts == [self.audit_calls; 2]
    }
}

impl Places {
    /// Reads the records. The devices had made `before` calls at the start.
    pub fn count(&self, before: u64) -> Outcome<Counted> {
        let total = |labels: &[&str]| self.metric("xks_requests_total", labels);
        // These outcomes belong to requests without a verified signature. An incomplete body is a ValidationException.
        let mut counts = total(&[])?;
        for outcome in [
            "incomplete",
            "AuthenticationFailedException",
            "ValidationException",
        ] {
            counts -= total(&[&format!("outcome=\"{outcome}\"")])?;
        }
        let access = lines(&self.log)?;
        let is_verified =
            |line: &&Value| line["message"] == "request" && line["access_key_id"].is_string();
        let trail = lines(&self.trail)?;
        let requests: Vec<&Value> = trail
            .iter()
            .filter(|line| line["kind"] == "request")
            .collect();
        let ids: HashSet<&str> = requests
            .iter()
            .filter_map(|line| line.pointer("/request_metadata/kmsRequestId")?.as_str())
            .collect();
        Ok(Counted {
            verified: self.metric("xks_credential_requests_total", &[])?,
            counts,
            access_lines: access.iter().filter(is_verified).count() as u64,
            audit_lines: requests.len() as u64,
            audit_ids: ids.len() as u64,
            audit_calls: requests
                .iter()
                .filter_map(|line| line["hsm_calls"].as_u64())
                .sum(),
            module_calls: self.metric("xks_hsm_calls_total", &[])? - self.seals()?,
            device_calls: self.device_calls()? - before,
        })
    }

    /// Returns the calls that the devices have counted for requests. Each health check encrypts once and decrypts once.
    pub fn device_calls(&self) -> Outcome<u64> {
        let checks = self.metric("xks_hsm_health_checks_total", &["outcome=\"ok\""])?;
        let calls = self
            .devices
            .iter()
            .map(|device| device.calls(Function::Encrypt) + device.calls(Function::Decrypt));
        Ok(calls.sum::<u64>() - self.seals()? - 2 * checks)
    }

    fn seals(&self) -> Outcome<u64> {
        self.metric("xks_audit_checkpoints_total", &["outcome=\"sealed\""])
    }

    fn metric(&self, name: &str, labels: &[&str]) -> Outcome<u64> {
        Ok(self.proxy.metric(name, labels)? as u64)
    }
}

/// Returns the whole lines of a file of JSON lines.
fn lines(path: &Path) -> Outcome<Vec<Value>> {
    let text = fs::read_to_string(path)?;
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    Ok(whole
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}
