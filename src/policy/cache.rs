//! A cache of decisions. Cedar's answer depends on the request alone, and KMS sends the same requests repeatedly: the same principals for
//! the same keys.
//!
//! # Invariants
//! - The cache key contains, in full, everything that the rules can read. Two different requests never share a key.
//! - Rules that read the current time, the id of the request, or the context as a whole are evaluated for every request. Rules that read the
//!   hour or the weekday are evaluated again when the hour changes.
//! - The size of the cache is bounded, whatever clients send.

use std::collections::HashMap;
use std::sync::Mutex;

use cedar_policy::PolicySet;
use serde_json::Value;
use time::OffsetDateTime;

use super::decision::Evaluation;
use super::request::AuthorizationRequest;
use crate::proxy_protocol::VpcEndpointId;
use crate::sync::poisoned;

/// The maximum number of cached decisions. A full cache is emptied. It takes at most about 4 MiB, usually about 1 MiB.
const MAX_DECISIONS: usize = 4_096;

/// The maximum length of a cache key, in bytes. Decisions about longer requests are not cached.
const MAX_KEY: usize = 4_096;

/// The decisions of one set of rules.
pub(super) struct DecisionCache {
    reads: ContextUse,
    decisions: Mutex<HashMap<Box<[u8]>, Evaluation>>,
}

/// The parts of the context that the rules read and that differ from request to request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ContextUse {
    /// The current time, the id of the request, or the context as a whole: nothing can be cached.
    uncacheable: bool,
    /// The hour or the weekday.
    hour: bool,
}

impl DecisionCache {
    /// Returns an empty cache for these rules.
    pub(super) fn for_rules(rules: &PolicySet) -> Self {
        let mut reads = ContextUse::default();
        for rule in rules.policies() {
            match rule.to_json() {
                Ok(json) => reads.add_rule(&json),
                Err(_) => reads.uncacheable = true,
            }
        }
        Self {
            reads,
            decisions: Mutex::default(),
        }
    }

    /// Returns the cached decision for this request, or calls `evaluate` and caches its result.
    pub(super) fn get(
        &self,
        request: &AuthorizationRequest<'_>,
        evaluate: impl FnOnce() -> Evaluation,
    ) -> Evaluation {
        let Some(key) = self.key(request) else {
            return evaluate();
        };
        if let Some(evaluation) = self.lock().get(&*key) {
            return evaluation.clone();
        }
        // The lock is not held here: other requests do not wait for the evaluation.
        let evaluation = evaluate();
        let mut decisions = self.lock();
        if decisions.len() >= MAX_DECISIONS {
            decisions.clear();
        }
        decisions.insert(key, evaluation.clone());
        evaluation
    }

    /// Returns the number of cached decisions.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<[u8]>, Evaluation>> {
        self.decisions.lock().unwrap_or_else(poisoned)
    }

    /// Returns everything that the rules can read. None when the decision must not be cached.
    fn key(&self, request: &AuthorizationRequest<'_>) -> Option<Box<[u8]>> {
        if self.reads.uncacheable {
            return None;
        }
        let mut key = CacheKey(Vec::with_capacity(512));
        key.push_request(request)?;
        if self.reads.hour {
            let now = OffsetDateTime::from(request.now);
            key.0.push(now.hour());
            key.0.push(now.weekday().number_from_monday());
        }
        (key.0.len() <= MAX_KEY).then(|| key.0.into_boxed_slice())
    }
}

impl ContextUse {
    /// Adds the uses of the context in a rule, which is in Cedar's JSON form.
    fn add_rule(&mut self, json: &Value) {
        match json {
            Value::Object(members) => {
                if members.get("Var").is_some_and(|var| var == "context") {
                    self.uncacheable = true;
                }
                for (name, value) in members {
                    match field_of_context(name, value) {
                        Some(field) => self.add_field(field),
                        None => self.add_rule(value),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.add_rule(value)),
            _ => {}
        }
    }

    fn add_field(&mut self, field: &str) {
        match field {
            "now" | "kmsRequestId" => self.uncacheable = true,
            "hour" | "weekday" => self.hour = true,
            _ => {}
        }
    }
}

/// Returns the field if the operation is `context.field` or `context has field`.
fn field_of_context<'a>(operator: &str, operands: &'a Value) -> Option<&'a str> {
    let is_access = matches!(operator, "." | "has");
    let variable = operands.pointer("/left/Var")?;
    let field = operands.get("attr")?.as_str()?;
    (is_access && variable == "context").then_some(field)
}

/// The fields of a request in sequence, each with its length, so that different requests have different keys.
struct CacheKey(Vec<u8>);

impl CacheKey {
    fn push_request(&mut self, request: &AuthorizationRequest<'_>) -> Option<()> {
        // Without `..`, a new field does not compile until its author decides whether the key must contain it.
        let AuthorizationRequest {
            action,
            store,
            region,
            key,
            labels,
            tags,
            metadata,
            client_certificate,
            transport,
            now: _,
        } = request;
        self.push_text(Some(action.as_str()))?;
        self.push_text(Some(client_certificate.as_str()))?;
        for text in [store, region, key] {
            self.push_text(Some(text))?;
        }
        self.push_count(labels.len())?;
        labels
            .iter()
            .try_for_each(|label| self.push_text(Some(label)))?;
        self.push_count(tags.len())?;
        for (name, value) in *tags {
            self.push_text(Some(name))?;
            self.push_text(Some(value))?;
        }
        for text in [
            metadata.aws_principal_arn.as_deref(),
            Some(metadata.kms_operation.as_str()),
            metadata.kms_key_arn.as_deref(),
            metadata.kms_via_service.as_deref(),
            metadata.aws_source_vpc.as_deref(),
            metadata.aws_source_vpce.as_deref(),
        ] {
            self.push_text(text)?;
        }
        let endpoint = transport.vpc_endpoint.as_ref();
        self.push_text(endpoint.map(VpcEndpointId::as_str))?;
        let client = transport.client.map(|client| client.to_string());
        self.push_text(client.as_deref())?;
        self.push_count(metadata.other.len())?;
        for (name, value) in &metadata.other {
            self.push_text(Some(name))?;
            self.push_text(Some(&value.to_string()))?;
        }
        Some(())
    }

    /// Adds a text. Returns none when the key becomes too long.
    fn push_text(&mut self, text: Option<&str>) -> Option<()> {
        match text {
            Some(text) => {
                self.push_count(text.len() + 1)?;
                self.0.extend_from_slice(text.as_bytes());
            }
            None => self.push_count(0)?,
        }
        (self.0.len() <= MAX_KEY).then_some(())
    }

    fn push_count(&mut self, count: usize) -> Option<()> {
        self.0.extend(u32::try_from(count).ok()?.to_be_bytes());
        Some(())
    }
}

#[cfg(test)]
mod tests;
