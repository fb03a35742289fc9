//! The policy of a key: its text and its parsed form.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::simulator::policy::{IamPolicy, PolicyDecision, PolicyKind, PolicyRequest};

/// The policy of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(in crate::simulator) struct KeyPolicy {
    text: String,
    /// None if the text cannot be parsed. Such a text comes from a state file of an older version.
    policy: Option<Arc<IamPolicy>>,
}

impl KeyPolicy {
    /// Returns the text.
    pub(in crate::simulator) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the decision of the policy for a request. A policy that cannot be parsed allows nothing.
    pub(in crate::simulator) fn evaluate(&self, request: &PolicyRequest<'_>) -> PolicyDecision {
        self.policy
            .as_ref()
            .map_or(PolicyDecision::NotApplicable, |policy| {
                policy.evaluate(request)
            })
    }

    /// Returns the reason why the text cannot be parsed; none if it can.
    pub(in crate::simulator) fn error(&self) -> Option<String> {
        match self.policy {
            Some(_) => None,
            None => IamPolicy::parse(&self.text, PolicyKind::Key).err(),
        }
    }
}

impl From<String> for KeyPolicy {
    fn from(text: String) -> Self {
        let policy = IamPolicy::parse(&text, PolicyKind::Key).ok().map(Arc::new);
        Self { text, policy }
    }
}

impl From<KeyPolicy> for String {
    fn from(policy: KeyPolicy) -> Self {
        policy.text
    }
}
