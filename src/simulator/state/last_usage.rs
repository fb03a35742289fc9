//! The last successful cryptographic operation with each key.
//!
//! The usages are in memory only, so `TrackingStartDate` is never earlier than the start of the simulator.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::simulator::wire::clock::now;
use crate::sync::poisoned;

/// The last usage of every key.
pub(in crate::simulator) struct LastUsages {
    /// Seconds since 1970.
    pub(in crate::simulator) since: f64,
    /// By the key's ARN.
    usages: Mutex<HashMap<String, LastUsage>>,
}

/// One usage.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct LastUsage {
    pub(in crate::simulator) operation: &'static str,
    /// Seconds since 1970.
    pub(in crate::simulator) at: f64,
    pub(in crate::simulator) request_id: String,
    /// The id of the CloudTrail event in the account of the key.
    pub(in crate::simulator) event_id: String,
}

/// The cryptographic operations of keys in external key stores.
const OPERATIONS: [&str; 5] = [
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncrypt",
];

/// Returns the name of the operation if its usages are recorded.
pub(in crate::simulator) fn recorded(operation: &str) -> Option<&'static str> {
    OPERATIONS.into_iter().find(|known| *known == operation)
}

impl LastUsages {
    /// Starts recording now.
    pub(in crate::simulator) fn new() -> Self {
        Self {
            since: now(),
            usages: Mutex::default(),
        }
    }

    /// Records the last usage of a key.
    pub(in crate::simulator) fn put(&self, key_arn: &str, usage: LastUsage) {
        let mut usages = self.usages.lock().unwrap_or_else(poisoned);
        usages.insert(key_arn.to_owned(), usage);
    }

    /// Returns the last usage of a key, if there was one.
    pub(in crate::simulator) fn of(&self, key_arn: &str) -> Option<LastUsage> {
        let usages = self.usages.lock().unwrap_or_else(poisoned);
        usages.get(key_arn).cloned()
    }
}
