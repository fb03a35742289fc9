//! Decisions that were made before. Cedar's answer follows from its question alone, and KMS asks the same ones again and again: the same
//! principals for the same keys.
//!
//! # Invariants
//! - A decision is remembered under everything that the rules can look at, in full: no two questions share one by chance.
//! - Rules that look at the moment itself, at the request's id or at the context as a whole are asked every time; rules that look at the
//!   hour or the weekday, once an hour.
//! - The memory is bounded, whatever callers send.

use std::collections::HashMap;
use std::sync::Mutex;

use cedar_policy::PolicySet;
use serde_json::Value;
use time::OffsetDateTime;

use super::{Question, Verdict};
use crate::proxy_protocol::VpcEndpointId;
use crate::sync::poisoned;

/// So many decisions are remembered; when there are more, all are forgotten. About 4 MiB at most, one as a rule.
const MAX_DECISIONS: usize = 4_096;

/// A longer question, in bytes, is not worth its place.
const MAX_QUESTION: usize = 4_096;

/// What the rules say, and which of them.
pub(super) type Said = (Verdict, Vec<String>);

/// The decisions of one set of rules.
pub(super) struct Memory {
    looks_at: LooksAt,
    decisions: Mutex<HashMap<Box<[u8]>, Said>>,
}

/// What rules look at that changes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LooksAt {
    /// The moment, the request's id, or the context as a whole.
    anything: bool,
    /// The hour or the weekday.
    the_hour: bool,
}

impl Memory {
    /// An empty memory for these rules.
    pub(super) fn of(rules: &PolicySet) -> Self {
        let mut looks_at = LooksAt::default();
        for rule in rules.policies() {
            match rule.to_json() {
                Ok(json) => looks_at.learn(&json),
                Err(_) => looks_at.anything = true,
            }
        }
        Self {
            looks_at,
            decisions: Mutex::default(),
        }
    }

    /// What was said to this question before, or what is said now.
    pub(super) fn recall(&self, question: &Question<'_>, ask: impl FnOnce() -> Said) -> Said {
        let Some(key) = self.key(question) else {
            return ask();
        };
        if let Some(said) = self.lock().get(&*key) {
            return said.clone();
        }
        // Not under the lock: others need not wait for it.
        let said = ask();
        let mut decisions = self.lock();
        if decisions.len() >= MAX_DECISIONS {
            decisions.clear();
        }
        decisions.insert(key, said.clone());
        said
    }

    /// How many decisions are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<[u8]>, Said>> {
        self.decisions.lock().unwrap_or_else(poisoned)
    }

    /// All that the rules can look at; none when it is not to be remembered.
    fn key(&self, question: &Question<'_>) -> Option<Box<[u8]>> {
        if self.looks_at.anything {
            return None;
        }
        let mut key = Key(Vec::with_capacity(512));
        key.question(question)?;
        if self.looks_at.the_hour {
            let now = OffsetDateTime::from(question.now);
            key.0.push(now.hour());
            key.0.push(now.weekday().number_from_monday());
        }
        (key.0.len() <= MAX_QUESTION).then(|| key.0.into_boxed_slice())
    }
}

impl LooksAt {
    /// Looks for uses of the context in a rule, in Cedar's JSON form.
    fn learn(&mut self, json: &Value) {
        match json {
            Value::Object(members) => {
                if members.get("Var").is_some_and(|var| var == "context") {
                    self.anything = true;
                }
                for (name, value) in members {
                    match field_of_context(name, value) {
                        Some(field) => self.note(field),
                        None => self.learn(value),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.learn(value)),
            _ => {}
        }
    }

    fn note(&mut self, field: &str) {
        match field {
            "now" | "kmsRequestId" => self.anything = true,
            "hour" | "weekday" => self.the_hour = true,
            _ => {}
        }
    }
}

/// The field, where this is `context.field` or `context has field`.
fn field_of_context<'a>(operator: &str, operands: &'a Value) -> Option<&'a str> {
    let is_access = matches!(operator, "." | "has");
    let variable = operands.pointer("/left/Var")?;
    let field = operands.get("attr")?.as_str()?;
    (is_access && variable == "context").then_some(field)
}

/// Fields one behind the other, each with its length: no two questions have one key.
struct Key(Vec<u8>);

impl Key {
    fn question(&mut self, question: &Question<'_>) -> Option<()> {
        // Whoever adds a field to the question has to say here whether the rules can look at it.
        let Question {
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
        } = question;
        self.text(Some(action.as_str()))?;
        self.text(Some(client_certificate.as_str()))?;
        for text in [store, region, key] {
            self.text(Some(text))?;
        }
        self.count(labels.len())?;
        labels.iter().try_for_each(|label| self.text(Some(label)))?;
        self.count(tags.len())?;
        for (name, value) in *tags {
            self.text(Some(name))?;
            self.text(Some(value))?;
        }
        for text in [
            metadata.aws_principal_arn.as_deref(),
            Some(metadata.kms_operation.as_str()),
            metadata.kms_key_arn.as_deref(),
            metadata.kms_via_service.as_deref(),
            metadata.aws_source_vpc.as_deref(),
            metadata.aws_source_vpce.as_deref(),
        ] {
            self.text(text)?;
        }
        let endpoint = transport.vpc_endpoint.as_ref();
        self.text(endpoint.map(VpcEndpointId::as_str))?;
        let client = transport.client.map(|client| client.to_string());
        self.text(client.as_deref())?;
        self.count(metadata.other.len())?;
        for (name, value) in &metadata.other {
            self.text(Some(name))?;
            self.text(Some(&value.to_string()))?;
        }
        Some(())
    }

    /// None when there is too much of it.
    fn text(&mut self, text: Option<&str>) -> Option<()> {
        match text {
            Some(text) => {
                self.count(text.len() + 1)?;
                self.0.extend_from_slice(text.as_bytes());
            }
            None => self.count(0)?,
        }
        (self.0.len() <= MAX_QUESTION).then_some(())
    }

    fn count(&mut self, count: usize) -> Option<()> {
        self.0.extend(u32::try_from(count).ok()?.to_be_bytes());
        Some(())
    }
}

#[cfg(test)]
mod tests;
