//! From policy files to validated rules, with all faults at once.

use std::fmt;
use std::str::FromStr;

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};

use super::checks::{constant_conditions, unreachable_rules};

/// What policies may say: entities, actions and the fields of a request.
pub const SCHEMA: &str = include_str!("../../config/policy/schema.cedarschema");

/// A policy file.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// By which it is told from others in faults and in the names of rules without an `@id`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What is wrong with the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFault(String);

/// What is not wrong with the rules but should be known, such as a rule that never applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWarning(String);

impl PolicyWarning {
    pub(super) fn new(what: String) -> Self {
        Self(what)
    }
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PolicyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rules of all files. Each is called by its `@id`, or by its file and number.
pub(super) fn rules(
    sources: &[PolicySource],
) -> Result<(PolicySet, Vec<PolicyWarning>), Vec<PolicyFault>> {
    let mut faults = Vec::new();
    let (mut all, mut order) = (PolicySet::new(), Vec::new());
    for source in sources {
        match parsed(source) {
            Ok(rules) => {
                order.extend(rules.iter().map(|rule| rule.id().clone()));
                add(&mut all, rules, &mut faults);
            }
            Err(fault) => faults.push(fault),
        }
    }
    let schema = schema().map_err(|fault| vec![fault])?;
    let result = Validator::new(schema).validate(&all, ValidationMode::default());
    let wrong = result.validation_errors();
    faults.extend(wrong.map(|error| PolicyFault(one_line(&error.to_string()))));
    let warnings = result.validation_warnings();
    let mut warnings: Vec<_> = warnings
        .map(|w| PolicyWarning(one_line(&w.to_string())))
        .collect();
    match faults.is_empty() {
        true => {
            let in_order = || order.iter().filter_map(|id| all.policy(id));
            let constant = constant_conditions(in_order(), SCHEMA).into_iter();
            warnings.extend(constant.map(PolicyWarning::new));
            warnings.extend(unreachable_rules(in_order()));
            Ok((all, warnings))
        }
        false => Err(faults),
    }
}

/// The shipped schema; a mistake in it is ours, and a test finds it.
fn schema() -> Result<Schema, PolicyFault> {
    let parsed = Schema::from_cedarschema_str(SCHEMA);
    parsed
        .map(|(schema, _)| schema)
        .map_err(|error| PolicyFault(format!("the built-in schema: {error}")))
}

fn parsed(source: &PolicySource) -> Result<Vec<Policy>, PolicyFault> {
    let name = &source.name;
    let set = PolicySet::from_str(&source.text).map_err(|errors| {
        let line = errors.iter().next().map_or_else(String::new, |error| {
            let offset = miette_offset(error).unwrap_or(0);
            let before = source.text.get(..offset).unwrap_or_default();
            format!(" (line {})", before.matches('\n').count() + 1)
        });
        PolicyFault(format!("{name}{line}: {}", one_line(&errors.to_string())))
    })?;
    if set.templates().next().is_some() {
        let what = "templates are not supported: write principal and resource out";
        return Err(PolicyFault(format!("{name}: {what}")));
    }
    let mut rules: Vec<&Policy> = set.policies().collect();
    if rules.is_empty() {
        let what = "has no rule in it: write one, or remove the file";
        return Err(PolicyFault(format!("{name}: {what}")));
    }
    // Cedar names them policy0, policy1, … in the order of the file.
    rules.sort_by_key(|rule| number_of(rule.id()));
    Ok(rules
        .into_iter()
        .enumerate()
        .map(|(n, rule)| named(rule, name, n))
        .collect())
}

fn miette_offset(error: &cedar_policy::ParseError) -> Option<usize> {
    use miette::Diagnostic;
    let label = error.labels()?.next()?;
    Some(label.offset())
}

fn number_of(id: &PolicyId) -> usize {
    let text = id.to_string();
    let digits = text.trim_start_matches("policy");
    digits.parse().unwrap_or(usize::MAX)
}

fn named(rule: &Policy, file: &str, number: usize) -> Policy {
    let id = match rule.annotation("id") {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => format!("{file}#{}", number + 1),
    };
    rule.new_id(PolicyId::new(id))
}

fn add(all: &mut PolicySet, rules: Vec<Policy>, faults: &mut Vec<PolicyFault>) {
    for rule in rules {
        let id = rule.id().to_string();
        if all.add(rule).is_err() {
            faults.push(PolicyFault(format!("@id({id:?}) is used twice")));
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
