//! What each record says of the same requests.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::connection::Outcome;
use crate::control::{Control, Function};
use crate::target::Proxy;

/// Where the records are.
pub struct Places {
    pub proxy: Arc<Proxy>,
    pub log: PathBuf,
    pub trail: PathBuf,
    pub devices: Vec<Control>,
}

/// What they say.
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
    /// Whether they say the same.
    pub fn agrees(&self) -> bool {
        let of_requests = [
            self.counts,
            self.access_lines,
            self.audit_lines,
            self.audit_ids,
        ];
        let of_calls = [self.module_calls, self.device_calls];
        of_requests == [self.verified; 4] && of_calls == [self.audit_calls; 2]
    }
}

impl Places {
    /// Reads the records; the devices had made so many calls `before`.
    pub fn count(&self, before: u64) -> Outcome<Counted> {
        let total = |labels: &[&str]| self.metric("xks_requests_total", labels);
        // These outcomes are of requests whose signature was not verified; a torn body is a ValidationException.
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

    /// How many calls the devices have counted, for requests only: each check encrypts once and decrypts once.
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

/// The whole lines of a file of JSON lines.
fn lines(path: &Path) -> Outcome<Vec<Value>> {
    let text = fs::read_to_string(path)?;
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    Ok(whole
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}
