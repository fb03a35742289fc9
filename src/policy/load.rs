//! Loading: policy files become validated rules. All errors are reported together.

use std::str::FromStr;

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};

use super::checks::{constant_conditions, unreachable_rules};
use super::source::{PolicyError, PolicySource, PolicyWarning};

/// The schema of policies: entities, actions and the fields of a request.
pub const SCHEMA: &str = include_str!("../../config/policy/schema.cedarschema");

/// Loads the rules of all files. The name of a rule is its `@id`, or its file and its number in the file.
pub(super) fn rules(
    sources: &[PolicySource],
) -> Result<(PolicySet, Vec<PolicyWarning>), Vec<PolicyError>> {
    let mut errors = Vec::new();
    let (mut all, mut order) = (PolicySet::new(), Vec::new());
    for source in sources {
        match parse(source) {
            Ok(rules) => {
                order.extend(rules.iter().map(|rule| rule.id().clone()));
                add(&mut all, rules, &mut errors);
            }
            Err(error) => errors.push(error),
        }
    }
    let schema = schema().map_err(|error| vec![error])?;
    let result = Validator::new(schema).validate(&all, ValidationMode::default());
    let invalid = result.validation_errors();
    errors.extend(invalid.map(|error| PolicyError::new(one_line(&error.to_string()))));
    let warnings = result.validation_warnings();
    let mut warnings: Vec<_> = warnings
        .map(|w| PolicyWarning::new(one_line(&w.to_string())))
        .collect();
    match errors.is_empty() {
        true => {
            let in_order = || order.iter().filter_map(|id| all.policy(id));
            let constant = constant_conditions(in_order(), SCHEMA).into_iter();
            warnings.extend(constant.map(PolicyWarning::new));
            warnings.extend(unreachable_rules(in_order()));
            Ok((all, warnings))
        }
        false => Err(errors),
    }
}

/// Parses the built-in schema. A test ensures that this succeeds.
fn schema() -> Result<Schema, PolicyError> {
    let parsed = Schema::from_cedarschema_str(SCHEMA);
    parsed
        .map(|(schema, _)| schema)
        .map_err(|error| PolicyError::new(format!("the built-in schema: {error}")))
}

fn parse(source: &PolicySource) -> Result<Vec<Policy>, PolicyError> {
    let name = &source.name;
    let set = PolicySet::from_str(&source.text).map_err(|errors| {
        let line = errors.iter().next().map_or_else(String::new, |error| {
            let offset = offset_of(error).unwrap_or(0);
            let before = source.text.get(..offset).unwrap_or_default();
            format!(" (line {})", before.matches('\n').count() + 1)
        });
        PolicyError::new(format!("{name}{line}: {}", one_line(&errors.to_string())))
    })?;
    if set.templates().next().is_some() {
        let problem = "templates are not supported: write principal and resource out";
        return Err(PolicyError::new(format!("{name}: {problem}")));
    }
    let mut rules: Vec<&Policy> = set.policies().collect();
    if rules.is_empty() {
        let problem = "contains no rule: write one, or remove the file";
        return Err(PolicyError::new(format!("{name}: {problem}")));
    }
    // Cedar names the rules policy0, policy1, … in the order of the file.
    rules.sort_by_key(|rule| number_of(rule.id()));
    Ok(rules
        .into_iter()
        .enumerate()
        .map(|(n, rule)| rename(rule, name, n))
        .collect())
}

fn offset_of(error: &cedar_policy::ParseError) -> Option<usize> {
    use miette::Diagnostic;
    let label = error.labels()?.next()?;
    Some(label.offset())
}

fn number_of(id: &PolicyId) -> usize {
    let text = id.to_string();
    let digits = text.trim_start_matches("policy");
    digits.parse().unwrap_or(usize::MAX)
}

fn rename(rule: &Policy, file: &str, number: usize) -> Policy {
    let id = match rule.annotation("id") {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => format!("{file}#{}", number + 1),
    };
    rule.new_id(PolicyId::new(id))
}

fn add(all: &mut PolicySet, rules: Vec<Policy>, errors: &mut Vec<PolicyError>) {
    for rule in rules {
        let id = rule.id().to_string();
        if all.add(rule).is_err() {
            errors.push(PolicyError::new(format!("@id({id:?}) is used twice")));
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
