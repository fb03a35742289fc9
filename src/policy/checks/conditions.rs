//! Conditions that have the same result for every request: `has` with an attribute that is not in the schema, `is` with a type that requests do
//! not have, and numbers that are out of range. Cedar's validator warns only if the whole rule is constant.

use std::ops::RangeInclusive;

use cedar_policy::{Policy, SchemaFragment};
use serde_json::Value;

use super::comparisons::{attribute, members, operations, variable};
use super::context::range;
use crate::similar::nearest;

/// The maximum number of warnings. Further conditions are only counted.
const MAX_NAMED: usize = 20;

/// Returns a warning for each condition that has the same result for every request of this schema.
pub(in crate::policy) fn warnings<'a>(
    rules: impl Iterator<Item = &'a Policy>,
    schema: &str,
) -> Vec<String> {
    let attributes = Attributes::from_schema(schema);
    let mut found = Vec::new();
    for rule in rules.filter(|rule| rule.has_non_scope_constraint()) {
        let Ok(json) = rule.to_json() else { continue };
        let mut rule_problems = Vec::new();
        operations(&json, &mut |operator, operands| {
            rule_problems.extend(attributes.problem(operator, operands));
        });
        rule_problems.dedup();
        let id = rule.id();
        found.extend(
            rule_problems
                .into_iter()
                .map(|problem| format!("\"{id}\" {problem}")),
        );
    }
    let more = found.len().saturating_sub(MAX_NAMED);
    found.truncate(MAX_NAMED);
    if more > 0 {
        found.push(format!(
            "{more} more conditions have the same result for every request"
        ));
    }
    found
}

/// The attributes in the schema, by variable.
struct Attributes([(&'static str, Vec<String>); 3]);

impl Attributes {
    fn from_schema(schema: &str) -> Self {
        let schema = SchemaFragment::from_cedarschema_str(schema);
        let json = schema
            .ok()
            .and_then(|(schema, _)| schema.to_json_value().ok());
        let json = json.unwrap_or_default();
        let names = |pointer: &str| {
            let attributes = json.pointer(pointer).and_then(Value::as_object);
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

    /// Checks `variable has attribute` for an unknown attribute.
    fn missing(&self, operands: &Value) -> Option<String> {
        let variable = variable(operands.get("left")?)?;
        let name = operands.get("attr")?.as_str()?;
        let (_, known) = self.0.iter().find(|(name, _)| *name == variable)?;
        if known.is_empty() || known.iter().any(|attribute| attribute == name) {
            return None;
        }
        let problem = format!("contains \"{variable} has {name}\", which is always false");
        Some(match nearest(name, known.iter().map(String::as_str)) {
            Some(similar) => format!("{problem}; did you mean {similar:?}?"),
            None => format!("{problem}; known are: {}", known.join(", ")),
        })
    }
}

/// Checks `variable is Type` for a type that the variable never has.
fn other_type(operands: &Value) -> Option<String> {
    let variable = variable(operands.get("left")?)?;
    let name = operands.get("entity_type")?.as_str()?;
    let only = match variable {
        "principal" => "Xks::Principal",
        "resource" => "Xks::Key",
        "action" => "Xks::Action",
        _ => return None,
    };
    (name != only).then(|| {
        format!(
            "contains \"{variable} is {name}\", which is always false: every {variable} is {only}"
        )
    })
}

/// Checks a comparison of a numeric attribute. Returns a problem if every possible value has the same result.
fn constant(operator: &str, operands: &Value) -> Option<String> {
    let (left, right) = (operands.get("left")?, operands.get("right")?);
    if operator == "contains" {
        return never_in_range(right, left);
    }
    let (name, number, is_mirrored) = match (attribute(left), attribute(right)) {
        (Some(name), None) => (name, number(right)?, false),
        (None, Some(name)) => (name, number(left)?, true),
        _ => return None,
    };
    let range = range(name)?;
    let holds = |value: i64| match is_mirrored {
        false => compare(operator, value, number),
        true => compare(operator, number, value),
    };
    let outcomes: Option<Vec<bool>> = range.clone().map(holds).collect();
    let outcomes = outcomes?;
    let first = *outcomes.first()?;
    outcomes.iter().all(|outcome| *outcome == first).then(|| {
        let (operand, shown) = (format!("{}.{}", name.0, name.1), in_words(&range));
        let comparison = match is_mirrored {
            false => format!("{operand} {operator} {number}"),
            true => format!("{number} {operator} {operand}"),
        };
        format!("contains \"{comparison}\", which is always {first}: {operand} is {shown}")
    })
}

/// Checks `[…].contains(variable.attribute)` for a number that the attribute never is.
fn never_in_range(element: &Value, set: &Value) -> Option<String> {
    let name = attribute(element)?;
    let range = range(name)?;
    let mut numbers = members(set).into_iter().filter_map(Value::as_i64);
    let outside = numbers.find(|number| !range.contains(number))?;
    let (operand, shown) = (format!("{}.{}", name.0, name.1), in_words(&range));
    Some(format!(
        "compares {operand} with {outside}, but it is {shown}"
    ))
}

/// Returns the result of the comparison. None for an operator that does not compare numbers.
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
        // Cedar's validator warns about a rule that is constant as a whole. The other half of the condition prevents that.
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
    fn a_condition_with_the_same_result_for_every_request_is_named() {
        for (condition, part) in [
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
            let found = warnings(condition);
            assert_eq!(found.len(), 1, "{condition}: {found:?}");
            assert!(found[0].starts_with("\"r\" "), "{found:?}");
            assert!(found[0].contains(part), "{condition}: {found:?}");
        }
    }

    #[test]
    fn a_condition_that_depends_on_the_request_causes_no_warning() {
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
    fn warnings_beyond_the_maximum_are_counted() {
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
        assert_eq!(
            last,
            "30 more conditions have the same result for every request"
        );
    }
}
