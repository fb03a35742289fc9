//! The Condition of a statement.
//!
//! # Invariants
//! - All conditions of a statement must hold.
//! - An Allow with a policy variable that has no value does not apply.

use super::context_key::ContextKey;
use super::document::{OneOrMany, Scalar, UniqueMembers};
use super::operator::{PolicyValue, ValueComparison, truth};
use super::request::PolicyRequest;

/// A condition: one operator on one condition key.
#[derive(Debug)]
pub(super) struct PolicyCondition {
    key: ContextKey,
    test: Requirement,
}

#[derive(Debug)]
enum Requirement {
    /// The operator `Null`: true requires an absent key, false a present key.
    Absent(Vec<bool>),
    Values {
        quantifier: Quantifier,
        /// True if the condition holds for a request without the key.
        holds_if_absent: bool,
        is_negated: bool,
        policy_values: Vec<PolicyValue>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    /// The key has at most one value.
    One,
    All,
    Any,
}

impl PolicyCondition {
    /// Converts the conditions of a statement.
    pub(super) fn read(
        text: UniqueMembers<UniqueMembers<OneOrMany<Scalar>>>,
        has_variables: bool,
    ) -> Result<Vec<Self>, String> {
        let mut conditions = Vec::new();
        for (operator, UniqueMembers(keys)) in text.0 {
            for (key, OneOrMany(values)) in keys {
                let values: Vec<_> = values.into_iter().map(|Scalar(value)| value).collect();
                let in_condition = |reason| format!("condition {operator} on {key}: {reason}");
                conditions.push(
                    Self::parse(&operator, &key, &values, has_variables).map_err(in_condition)?,
                );
            }
        }
        Ok(conditions)
    }

    fn parse(
        operator: &str,
        key: &str,
        values: &[String],
        has_variables: bool,
    ) -> Result<Self, String> {
        let key = ContextKey::parse(key)?;
        if values.is_empty() {
            return Err("it has no value".to_owned());
        }
        if operator == "Null" {
            let absent = values
                .iter()
                .map(|value| truth(value).ok_or_else(|| format!("{value:?} is not true or false")));
            let test = Requirement::Absent(absent.collect::<Result<_, _>>()?);
            return Ok(Self { key, test });
        }
        let (quantifier, rest) = quantified(operator);
        if quantifier == Quantifier::One && key.is_multivalued() {
            return Err(
                "the key can have several values: ForAllValues: or ForAnyValue: is needed"
                    .to_owned(),
            );
        }
        let (name, is_optional) = match rest.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (rest, false),
        };
        let (comparison, is_negated) = ValueComparison::of(name)?;
        if !comparison.fits(key.form()) {
            return Err("the operator cannot compare values of this key".to_owned());
        }
        let policy_values = values
            .iter()
            .map(|value| comparison.policy_value(value, has_variables));
        let holds_if_absent = match quantifier {
            Quantifier::One => is_negated || is_optional,
            Quantifier::All => true,
            Quantifier::Any => is_optional,
        };
        let test = Requirement::Values {
            quantifier,
            holds_if_absent,
            is_negated,
            policy_values: policy_values.collect::<Result<_, _>>()?,
        };
        Ok(Self { key, test })
    }

    /// Returns whether the condition holds for a request. `allows` is the effect of the statement.
    pub(super) fn holds(&self, request: &PolicyRequest<'_>, allows: bool) -> bool {
        let found = request.values(&self.key);
        let Requirement::Values {
            quantifier,
            holds_if_absent,
            is_negated,
            policy_values,
        } = &self.test
        else {
            return self.is_absence_allowed(found.is_empty());
        };
        if found.is_empty() {
            return *holds_if_absent;
        }
        let mut is_unresolved = false;
        let mut satisfies = |value: &str| {
            let matches = policy_values
                .iter()
                .map(|policy_values| policy_values.matches(value, request));
            let matches: Vec<_> = matches.collect();
            is_unresolved |= matches.contains(&None);
            matches.contains(&Some(true)) != *is_negated
        };
        let results: Vec<_> = found.iter().map(|value| satisfies(value)).collect();
        if is_unresolved && allows {
            return false;
        }
        match quantifier {
            Quantifier::All => results.iter().all(|is_so| *is_so),
            Quantifier::One | Quantifier::Any => results.contains(&true),
        }
    }

    fn is_absence_allowed(&self, is_absent: bool) -> bool {
        matches!(&self.test, Requirement::Absent(policy_values) if policy_values.contains(&is_absent))
    }
}

fn quantified(operator: &str) -> (Quantifier, &str) {
    let parts = operator.split_once(':');
    match parts {
        Some(("ForAllValues", rest)) => (Quantifier::All, rest),
        Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
        _ => (Quantifier::One, operator),
    }
}

#[cfg(test)]
mod tests;
