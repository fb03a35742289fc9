//! The Condition of a statement.
//!
//! # Invariants
//! - All conditions of a statement must hold.
//! - An Allow with a policy variable that has no value does not apply.

use super::context_key::Key;
use super::document::{OneOrMany, Scalar, Unique};
use super::operator::{Comparison, Wanted, truth};
use super::request::Request;

/// A condition: one operator on one key.
#[derive(Debug)]
pub(super) struct Condition {
    key: Key,
    test: Test,
}

#[derive(Debug)]
enum Test {
    /// Whether the key must be absent: one of these.
    Absent(Vec<bool>),
    Values {
        quantifier: Quantifier,
        /// Whether it holds when the request does not have the key.
        holds_if_absent: bool,
        is_negated: bool,
        wanted: Vec<Wanted>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    /// The key has one value at most.
    One,
    All,
    Any,
}

impl Condition {
    /// The conditions of a statement's text.
    pub(super) fn read(
        text: Unique<Unique<OneOrMany<Scalar>>>,
        has_variables: bool,
    ) -> Result<Vec<Self>, String> {
        let mut conditions = Vec::new();
        for (operator, Unique(keys)) in text.0 {
            for (key, OneOrMany(values)) in keys {
                let values: Vec<_> = values.into_iter().map(|Scalar(value)| value).collect();
                let wrong = |why| format!("in the condition {operator} on {key}: {why}");
                conditions
                    .push(Self::parse(&operator, &key, &values, has_variables).map_err(wrong)?);
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
        let key = Key::parse(key)?;
        if values.is_empty() {
            return Err("it has no value".to_owned());
        }
        if operator == "Null" {
            let absent = values
                .iter()
                .map(|value| truth(value).ok_or_else(|| format!("{value:?} is not true or false")));
            let test = Test::Absent(absent.collect::<Result<_, _>>()?);
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
        let (comparison, is_negated) = Comparison::of(name)?;
        if !comparison.fits(key.form()) {
            return Err("the operator cannot compare values of this key".to_owned());
        }
        let wanted = values
            .iter()
            .map(|value| comparison.wanted(value, has_variables));
        let holds_if_absent = match quantifier {
            Quantifier::One => is_negated || is_optional,
            Quantifier::All => true,
            Quantifier::Any => is_optional,
        };
        let test = Test::Values {
            quantifier,
            holds_if_absent,
            is_negated,
            wanted: wanted.collect::<Result<_, _>>()?,
        };
        Ok(Self { key, test })
    }

    /// Whether it holds for a request; `allows` is the effect of its statement.
    pub(super) fn holds(&self, request: &Request<'_>, allows: bool) -> bool {
        let found = request.values(&self.key);
        let Test::Values {
            quantifier,
            holds_if_absent,
            is_negated,
            wanted,
        } = &self.test
        else {
            return self.is_as_absent_as_wanted(found.is_empty());
        };
        if found.is_empty() {
            return *holds_if_absent;
        }
        let mut is_unresolved = false;
        let mut satisfies = |value: &str| {
            let matches = wanted.iter().map(|wanted| wanted.matches(value, request));
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

    fn is_as_absent_as_wanted(&self, is_absent: bool) -> bool {
        matches!(&self.test, Test::Absent(wanted) if wanted.contains(&is_absent))
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
