//! Condition operators: how a value of a request is compared with the values of a policy.

use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::context_key::Form;
use super::request::Request;
use super::template::{Template, matches, matches_arn};

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Text {
        has_wildcards: bool,
        ignores_case: bool,
    },
    Arn,
    Bool,
    Number(Order),
    Date(Order),
    Address,
}

/// What an order of two values must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Same,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// A value of a policy, ready to be compared.
#[derive(Debug)]
pub(super) enum Wanted {
    Text { text: Template, ignores_case: bool },
    Arn(Template),
    Bool(bool),
    Number(f64, Order),
    Date(OffsetDateTime, Order),
    Address(IpNet),
}

const fn text(has_wildcards: bool, ignores_case: bool) -> Comparison {
    Comparison::Text {
        has_wildcards,
        ignores_case,
    }
}

/// Each operator, and whether it is negated.
pub(super) const OPERATORS: [(&str, Comparison, bool); 25] = [
    ("StringEquals", text(false, false), false),
    ("StringNotEquals", text(false, false), true),
    ("StringEqualsIgnoreCase", text(false, true), false),
    ("StringNotEqualsIgnoreCase", text(false, true), true),
    ("StringLike", text(true, false), false),
    ("StringNotLike", text(true, false), true),
    ("ArnEquals", Comparison::Arn, false),
    ("ArnLike", Comparison::Arn, false),
    ("ArnNotEquals", Comparison::Arn, true),
    ("ArnNotLike", Comparison::Arn, true),
    ("Bool", Comparison::Bool, false),
    ("NumericEquals", Comparison::Number(Order::Same), false),
    ("NumericNotEquals", Comparison::Number(Order::Same), true),
    ("NumericLessThan", Comparison::Number(Order::Less), false),
    (
        "NumericLessThanEquals",
        Comparison::Number(Order::AtMost),
        false,
    ),
    (
        "NumericGreaterThan",
        Comparison::Number(Order::Greater),
        false,
    ),
    (
        "NumericGreaterThanEquals",
        Comparison::Number(Order::AtLeast),
        false,
    ),
    ("DateEquals", Comparison::Date(Order::Same), false),
    ("DateNotEquals", Comparison::Date(Order::Same), true),
    ("DateLessThan", Comparison::Date(Order::Less), false),
    ("DateLessThanEquals", Comparison::Date(Order::AtMost), false),
    ("DateGreaterThan", Comparison::Date(Order::Greater), false),
    (
        "DateGreaterThanEquals",
        Comparison::Date(Order::AtLeast),
        false,
    ),
    ("IpAddress", Comparison::Address, false),
    ("NotIpAddress", Comparison::Address, true),
];

impl Comparison {
    /// The comparison of an operator, and whether the operator is negated.
    pub(super) fn of(operator: &str) -> Result<(Self, bool), String> {
        let found = OPERATORS.iter().find(|(name, ..)| *name == operator);
        let (_, comparison, is_negated) = found.ok_or_else(|| {
            format!("the condition operator {operator} is not one that the simulator evaluates")
        })?;
        Ok((*comparison, *is_negated))
    }

    /// Whether it can compare values of this form. Texts can be compared of all forms.
    pub(super) fn fits(self, form: Form) -> bool {
        match (self, form) {
            (Self::Text { .. }, _) | (_, Form::Free) => true,
            (Self::Arn, form) => form == Form::Arn,
            (Self::Bool, form) => form == Form::Bool,
            (Self::Number(_), form) => matches!(form, Form::Number | Form::Date),
            (Self::Date(_), form) => form == Form::Date,
            (Self::Address, form) => form == Form::Address,
        }
    }

    /// A value of a policy for it.
    pub(super) fn wanted(self, value: &str, has_variables: bool) -> Result<Wanted, String> {
        let wrong = |what: &str| format!("{value:?} is not {what}");
        match self {
            Self::Text {
                has_wildcards,
                ignores_case,
            } => {
                let text = Template::parse(value, has_wildcards, has_variables)?;
                Ok(Wanted::Text { text, ignores_case })
            }
            Self::Arn => {
                let arn = Template::parse(value, true, has_variables)?;
                if arn.is_arn() {
                    Ok(Wanted::Arn(arn))
                } else {
                    Err(wrong("an ARN"))
                }
            }
            Self::Bool => truth(value)
                .map(Wanted::Bool)
                .ok_or_else(|| wrong("true or false")),
            Self::Number(order) => number(value)
                .map(|number| Wanted::Number(number, order))
                .ok_or_else(|| wrong("a number")),
            Self::Date(order) => date(value)
                .map(|date| Wanted::Date(date, order))
                .ok_or_else(|| wrong("a date")),
            Self::Address => network(value)
                .map(Wanted::Address)
                .ok_or_else(|| wrong("an IP address or network")),
        }
    }
}

impl Wanted {
    /// Whether it matches a value of the request; none when a policy variable has no value.
    pub(super) fn matches(&self, value: &str, request: &Request<'_>) -> Option<bool> {
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

impl Order {
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

/// Reads `true` or `false`, in any case.
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

/// ISO 8601 as W3C profiles it, down to a day, or seconds since 1970.
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
