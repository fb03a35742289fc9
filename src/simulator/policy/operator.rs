//! Condition operators. They compare a value of a request with the values of a policy.

use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::context_key::ValueForm;
use super::pattern::{PolicyPattern, matches, matches_arn};
use super::request::PolicyRequest;

/// The comparison of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueComparison {
    Text {
        has_wildcards: bool,
        ignores_case: bool,
    },
    Arn,
    Bool,
    Number(RequiredOrder),
    Date(RequiredOrder),
    Address,
}

/// The required order of the value of the request and the value of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequiredOrder {
    Same,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// A parsed value of a policy.
#[derive(Debug)]
pub(super) enum PolicyValue {
    Text {
        text: PolicyPattern,
        ignores_case: bool,
    },
    Arn(PolicyPattern),
    Bool(bool),
    Number(f64, RequiredOrder),
    Date(OffsetDateTime, RequiredOrder),
    Address(IpNet),
}

const fn text(has_wildcards: bool, ignores_case: bool) -> ValueComparison {
    ValueComparison::Text {
        has_wildcards,
        ignores_case,
    }
}

/// Each operator with its comparison and whether it is negated.
pub(super) const OPERATORS: [(&str, ValueComparison, bool); 25] = [
    ("StringEquals", text(false, false), false),
    ("StringNotEquals", text(false, false), true),
    ("StringEqualsIgnoreCase", text(false, true), false),
    ("StringNotEqualsIgnoreCase", text(false, true), true),
    ("StringLike", text(true, false), false),
    ("StringNotLike", text(true, false), true),
    ("ArnEquals", ValueComparison::Arn, false),
    ("ArnLike", ValueComparison::Arn, false),
    ("ArnNotEquals", ValueComparison::Arn, true),
    ("ArnNotLike", ValueComparison::Arn, true),
    ("Bool", ValueComparison::Bool, false),
    (
        "NumericEquals",
        ValueComparison::Number(RequiredOrder::Same),
        false,
    ),
    (
        "NumericNotEquals",
        ValueComparison::Number(RequiredOrder::Same),
        true,
    ),
    (
        "NumericLessThan",
        ValueComparison::Number(RequiredOrder::Less),
        false,
    ),
    (
        "NumericLessThanEquals",
        ValueComparison::Number(RequiredOrder::AtMost),
        false,
    ),
    (
        "NumericGreaterThan",
        ValueComparison::Number(RequiredOrder::Greater),
        false,
    ),
    (
        "NumericGreaterThanEquals",
        ValueComparison::Number(RequiredOrder::AtLeast),
        false,
    ),
    (
        "DateEquals",
        ValueComparison::Date(RequiredOrder::Same),
        false,
    ),
    (
        "DateNotEquals",
        ValueComparison::Date(RequiredOrder::Same),
        true,
    ),
    (
        "DateLessThan",
        ValueComparison::Date(RequiredOrder::Less),
        false,
    ),
    (
        "DateLessThanEquals",
        ValueComparison::Date(RequiredOrder::AtMost),
        false,
    ),
    (
        "DateGreaterThan",
        ValueComparison::Date(RequiredOrder::Greater),
        false,
    ),
    (
        "DateGreaterThanEquals",
        ValueComparison::Date(RequiredOrder::AtLeast),
        false,
    ),
    ("IpAddress", ValueComparison::Address, false),
    ("NotIpAddress", ValueComparison::Address, true),
];

impl ValueComparison {
    /// Returns the comparison of an operator, and whether the operator is negated.
    pub(super) fn of(operator: &str) -> Result<(Self, bool), String> {
        let found = OPERATORS.iter().find(|(name, ..)| *name == operator);
        let (_, comparison, is_negated) = found.ok_or_else(|| {
            format!("the simulator does not evaluate the condition operator {operator}")
        })?;
        Ok((*comparison, *is_negated))
    }

    /// Returns whether the operator can compare values of this form. String operators compare every form.
    pub(super) fn fits(self, form: ValueForm) -> bool {
        match (self, form) {
            (Self::Text { .. }, _) | (_, ValueForm::Free) => true,
            (Self::Arn, form) => form == ValueForm::Arn,
            (Self::Bool, form) => form == ValueForm::Bool,
            (Self::Number(_), form) => matches!(form, ValueForm::Number | ValueForm::Date),
            (Self::Date(_), form) => form == ValueForm::Date,
            (Self::Address, form) => form == ValueForm::Address,
        }
    }

    /// Parses a value of a policy.
    pub(super) fn policy_value(
        self,
        value: &str,
        has_variables: bool,
    ) -> Result<PolicyValue, String> {
        let not_of_form = |form: &str| format!("{value:?} is not {form}");
        match self {
            Self::Text {
                has_wildcards,
                ignores_case,
            } => {
                let text = PolicyPattern::parse(value, has_wildcards, has_variables)?;
                Ok(PolicyValue::Text { text, ignores_case })
            }
            Self::Arn => {
                let arn = PolicyPattern::parse(value, true, has_variables)?;
                if arn.is_arn() {
                    Ok(PolicyValue::Arn(arn))
                } else {
                    Err(not_of_form("an ARN"))
                }
            }
            Self::Bool => truth(value)
                .map(PolicyValue::Bool)
                .ok_or_else(|| not_of_form("true or false")),
            Self::Number(order) => number(value)
                .map(|number| PolicyValue::Number(number, order))
                .ok_or_else(|| not_of_form("a number")),
            Self::Date(order) => date(value)
                .map(|date| PolicyValue::Date(date, order))
                .ok_or_else(|| not_of_form("a date")),
            Self::Address => network(value)
                .map(PolicyValue::Address)
                .ok_or_else(|| not_of_form("an IP address or network")),
        }
    }
}

impl PolicyValue {
    /// Returns whether the value matches a value of the request; none if a policy variable has no value.
    pub(super) fn matches(&self, value: &str, request: &PolicyRequest<'_>) -> Option<bool> {
        Some(match self {
            Self::Text { text, ignores_case } => {
                matches(&text.expand(request)?, value, *ignores_case)
            }
            Self::Arn(arn) => matches_arn(&arn.expand(request)?, value),
            Self::Bool(wanted) => truth(value) == Some(*wanted),
            Self::Number(wanted, order) => number(value)
                .and_then(|value| value.partial_cmp(wanted))
                .is_some_and(|found| order.holds(found)),
            Self::Date(wanted, order) => {
                date(value).is_some_and(|value| order.holds(value.cmp(wanted)))
            }
            Self::Address(wanted) => value
                .parse::<IpAddr>()
                .is_ok_and(|value| wanted.contains(&value.to_canonical())),
        })
    }
}

impl RequiredOrder {
    fn holds(self, found: Ordering) -> bool {
        match self {
            Self::Same => found.is_eq(),
            Self::Less => found.is_lt(),
            Self::AtMost => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::AtLeast => found.is_ge(),
        }
    }
}

/// Parses `true` or `false`, without regard to case.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Parses a day or a time in ISO 8601 (the profile of W3C), or seconds since 1970.
fn date(text: &str) -> Option<OffsetDateTime> {
    if let Ok(seconds) = text.parse() {
        return OffsetDateTime::from_unix_timestamp(seconds).ok();
    }
    let whole = if text.contains('T') {
        text.to_owned()
    } else {
        format!("{text}T00:00:00Z")
    };
    OffsetDateTime::parse(&whole, &Rfc3339).ok()
}

fn network(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
