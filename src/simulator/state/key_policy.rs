//! The policy of a key: its text and the parsed form.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::simulator::policy::{Policy, PolicyKind, Request, Verdict};

/// The policy of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(in crate::simulator) struct KeyPolicy {
    text: String,
    /// None when the text cannot be parsed: it comes from a state file that an older version has written.
    policy: Option<Arc<Policy>>,
}

impl KeyPolicy {
    /// The text as it was put.
    pub(in crate::simulator) fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether it allows or denies a request. A policy that cannot be parsed allows nothing.
    pub(in crate::simulator) fn judge(&self, request: &Request<'_>) -> Verdict {
        self.policy
            .as_ref()
            .map_or(Verdict::Silent, |policy| policy.judge(request))
    }

    /// Returns why it cannot be parsed.
    pub(in crate::simulator) fn error(&self) -> Option<String> {
        match self.policy {
            Some(_) => None,
            None => Policy::parse(&self.text, PolicyKind::Key).err(),
        }
    }
}

impl From<String> for KeyPolicy {
    fn from(text: String) -> Self {
        let policy = Policy::parse(&text, PolicyKind::Key).ok().map(Arc::new);
        Self { text, policy }
    }
}

impl From<KeyPolicy> for String {
    fn from(policy: KeyPolicy) -> Self {
        policy.text
    }
}
