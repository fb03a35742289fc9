//! Conditions that are the same for every request: `has` of an attribute that the schema does not have, `is` of another type than requests have,
//! and numbers that are out of range. Cedar's validator takes them for the constants that they are, and is silent unless the whole rule is one.

use std::ops::RangeInclusive;

use cedar_policy::{Policy, SchemaFragment};
use serde_json::Value;

use super::comparisons::{attribute, members, operations, variable};
use super::context::range;
use crate::similar::nearest;

/// More than these are counted, not named.
const MAX_NAMED: usize = 20;

/// What to warn about: each condition that is the same for every request, as this schema describes requests.
pub(in crate::policy) fn warnings<'a>(rules: impl Iterator<Item = &'a Policy>, schema: &str) -> Vec<String> {
    let attributes = Attributes::of_schema(schema);
    let mut found = Vec::new();
    for rule in rules.filter(|rule| rule.has_non_scope_constraint()) {
        let Ok(json) = rule.to_json() else { continue };
        let mut of_rule = Vec::new();
        operations(&json, &mut |operator, operands| {
            of_rule.extend(attributes.problem(operator, operands));
        });
        of_rule.dedup();
        let id = rule.id();
        found.extend(of_rule.into_iter().map(|what| format!("\"{id}\" {what}")));
    }
    let more = found.len().saturating_sub(MAX_NAMED);
    found.truncate(MAX_NAMED);
    if more > 0 {
        found.push(format!(
            "{more} more conditions are the same for every request"
        ));
    }
    found
}

/// The attributes that a request has, by variable.
struct Attributes([(&'static str, Vec<String>); 3]);

impl Attributes {
    fn of_schema(schema: &str) -> Self {
        let schema = SchemaFragment::from_cedarschema_str(schema);
        let json = schema
            .ok()
            .and_then(|(schema, _)| schema.to_json_value().ok());
        let json = json.unwrap_or_default();
        let names = |place: &str| {
            let attributes = json.pointer(place).and_then(Value::as_object);
            attributes
                .into_iter()
                .flat_map(|of| of.keys().cloned())
                .collect()
        };
        Self([
            ("context", names("/Xks/commonTypes/Request/attributes")),
            (
                "principal",
                names("/Xks/entityTypes/Principal/shape/attributes"),
            ),
            ("resource", names("/Xks/entityTypes/Key/shape/attributes")),
        ])
    }

    fn problem(&self, operator: &str, operands: &Value) -> Option<String> {
        match operator {
            "has" => self.missing(operands),
            "is" => other_type(operands),
            _ => constant(operator, operands),
        }
    }

    /// `variable has attribute`, which is false.
    fn missing(&self, operands: &Value) -> Option<String> {
        let variable = variable(operands.get("left")?)?;
        let asked = operands.get("attr")?.as_str()?;
        let (_, known) = self.0.iter().find(|(name, _)| *name == variable)?;
        if known.is_empty() || known.iter().any(|name| name == asked) {
            return None;
        }
        let what = format!("asks \"{variable} has {asked}\", which is always false");
        Some(match nearest(asked, known.iter().map(String::as_str)) {
            Some(meant) => format!("{what}; did you mean {meant:?}?"),
            None => format!("{what}; known are: {}", known.join(", ")),
        })
    }
}

/// `variable is Type`, which is false.
fn other_type(operands: &Value) -> Option<String> {
    let variable = variable(operands.get("left")?)?;
    let asked = operands.get("entity_type")?.as_str()?;
    let only = match variable {
        "principal" => "Xks::Principal",
        "resource" => "Xks::Key",
        "action" => "Xks::Action",
        _ => return None,
    };
    (asked != only).then(|| {
        format!("asks \"{variable} is {asked}\", which is always false: every {variable} is {only}")
    })
}

/// A comparison of a number that has a range with one that makes it always true or always false.
fn constant(operator: &str, operands: &Value) -> Option<String> {
    let (left, right) = (operands.get("left")?, operands.get("right")?);
    if operator == "contains" {
        return never_in_range(right, left);
    }
    let (of, number, is_mirrored) = match (attribute(left), attribute(right)) {
        (Some(of), None) => (of, number(right)?, false),
        (None, Some(of)) => (of, number(left)?, true),
        _ => return None,
    };
    let range = range(of)?;
    let holds = |value: i64| match is_mirrored {
        false => compare(operator, value, number),
        true => compare(operator, number, value),
    };
    let outcomes: Option<Vec<bool>> = range.clone().map(holds).collect();
    let outcomes = outcomes?;
    let first = *outcomes.first()?;
    outcomes.iter().all(|outcome| *outcome == first).then(|| {
        let (operand, shown) = (format!("{}.{}", of.0, of.1), in_words(&range));
        let comparison = match is_mirrored {
            false => format!("{operand} {operator} {number}"),
            true => format!("{number} {operator} {operand}"),
        };
        format!("asks \"{comparison}\", which is always {first}: {operand} is {shown}")
    })
}

/// `[…].contains(variable.attribute)` with a number that the attribute cannot be.
fn never_in_range(of: &Value, set: &Value) -> Option<String> {
    let of = attribute(of)?;
    let range = range(of)?;
    let mut numbers = members(set).into_iter().filter_map(Value::as_i64);
    let outside = numbers.find(|number| !range.contains(number))?;
    let (operand, shown) = (format!("{}.{}", of.0, of.1), in_words(&range));
    Some(format!(
        "compares {operand} with {outside}, but it is {shown}"
    ))
}

/// None for an operator that does not compare numbers.
fn compare(operator: &str, left: i64, right: i64) -> Option<bool> {
    Some(match operator {
        "==" => left == right,
        "!=" => left != right,
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        _ => return None,
    })
}

fn number(node: &Value) -> Option<i64> {
    match node.get("neg").and_then(|of| of.get("arg")) {
        Some(positive) => number(positive)?.checked_neg(),
        None => node.get("Value")?.as_i64(),
    }
}

fn in_words(range: &RangeInclusive<i64>) -> String {
    format!("from {} to {}", range.start(), range.end())
}

#[cfg(test)]
mod tests {
    use crate::policy::{Policy, PolicyMode, PolicySource};

    fn warnings(condition: &str) -> Vec<String> {
        // The other half keeps the rule as a whole from being a constant, which Cedar's validator sees.
        let scope = "principal, action == Xks::Action::\"Encrypt\", resource";
        let text = format!(
            "@id(\"r\") permit({scope}) when {{ context.region == \"a\" || ({condition}) }};"
        );
        let name = "rules".to_owned();
        let outcome = Policy::load(&[PolicySource { name, text }], PolicyMode::Enforce);
        let (_, warnings) = outcome.unwrap();
        warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_condition_that_is_the_same_for_every_request_is_named() {
        for (condition, what) in [
            (
                "context has kmsViaServis",
                "\"context has kmsViaServis\", which is always false; did you mean \"kmsViaService\"?",
            ),
            (
                "!(context has nonsense)",
                "always false; known are: awsSourceVpc, ",
            ),
            ("principal has acount", "did you mean \"account\"?"),
            ("resource has label", "did you mean \"labels\"?"),
            (
                "resource is Xks::KeyStore",
                "\"resource is Xks::KeyStore\", which is always false: every resource is Xks::Key",
            ),
            (
                "principal is Xks::Role",
                "every principal is Xks::Principal",
            ),
            (
                "context.hour == 24",
                "\"context.hour == 24\", which is always false: context.hour is from 0 to 23",
            ),
            ("context.hour != 24", "always true"),
            ("context.hour > 23", "always false"),
            (
                "24 > context.hour",
                "\"24 > context.hour\", which is always true",
            ),
            ("context.hour < 0", "always false"),
            ("context.hour >= -1", "always true"),
            ("context.weekday == 0", "context.weekday is from 1 to 7"),
            (
                "[6, 7, 8].contains(context.weekday)",
                "compares context.weekday with 8, but it is from 1 to 7",
            ),
        ] {
            let said = warnings(condition);
            assert_eq!(said.len(), 1, "{condition}: {said:?}");
            assert!(said[0].starts_with("\"r\" "), "{said:?}");
            assert!(said[0].contains(what), "{condition}: {said:?}");
        }
    }

    #[test]
    fn a_condition_that_depends_on_the_request_is_not() {
        for condition in [
            "context has kmsViaService",
            "context has kmsKeyAccount && context.kmsKeyAccount == \"111122223333\"",
            "principal has session",
            "context.hour == 0 || context.hour == 23",
            "context.hour >= 8 && context.hour < 18",
            "18 > context.hour",
            "context.hour > context.weekday",
            "[6, 7].contains(context.weekday)",
            "resource.hasTag(\"x\")",
        ] {
            assert_eq!(warnings(condition), [] as [String; 0], "{condition}");
        }
    }

    #[test]
    fn many_are_counted() {
        let rule = |n: u32| {
            format!(
                "@id(\"{n}\") permit(principal, action, resource) when {{ context.region == \"{n}\" || context.hour == 99 }};\n"
            )
        };
        let source = PolicySource {
            name: "rules".to_owned(),
            text: (0..50).map(rule).collect(),
        };
        let (_, warnings) = Policy::load(&[source], PolicyMode::Enforce).unwrap();
        assert_eq!(warnings.len(), super::MAX_NAMED + 1);
        let last = warnings.last().unwrap().to_string();
        assert_eq!(last, "30 more conditions are the same for every request");
    }
}
