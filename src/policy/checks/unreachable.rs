//! Rules without effect: duplicates, and rules that another rule always overrides. These are found by comparing rules with each other.

use std::collections::HashMap;

use cedar_policy::Policy;
use serde_json::{Value, json};

use crate::policy::source::PolicyWarning;

/// The maximum number of warnings. Further rules are only counted.
const MAX_NAMED: usize = 20;

/// Returns a warning for each duplicate of an earlier rule, and for each rule that permits only what another rule forbids unconditionally.
pub(in crate::policy) fn warnings<'a>(
    rules: impl Iterator<Item = &'a Policy>,
) -> Vec<PolicyWarning> {
    let rules: Vec<Rule> = rules.filter_map(Rule::read).collect();
    let mut found = duplicates(&rules);
    found.extend(overruled(&rules));
    let more = found.len().saturating_sub(MAX_NAMED);
    found.truncate(MAX_NAMED);
    if more > 0 {
        found.push(format!("{more} more rules have no effect"));
    }
    found.into_iter().map(PolicyWarning::new).collect()
}

struct Rule {
    id: String,
    /// The rule in Cedar's JSON form, without annotations. It does not depend on the layout of the text.
    content: String,
    is_permit: bool,
    has_conditions: bool,
    scope: Scope,
}

/// The scope of a rule: its head, before the conditions.
struct Scope {
    principal: Value,
    actions: u8,
    resource: Value,
}

impl Rule {
    fn read(policy: &Policy) -> Option<Self> {
        let mut content = policy.to_json().ok()?;
        content.as_object_mut()?.remove("annotations");
        let part = |name: &str| content.get(name).cloned().unwrap_or_default();
        Some(Self {
            id: policy.id().to_string(),
            is_permit: policy.effect() == cedar_policy::Effect::Permit,
            has_conditions: policy.has_non_scope_constraint(),
            scope: Scope {
                principal: part("principal"),
                actions: actions(&part("action")),
                resource: part("resource"),
            },
            content: content.to_string(),
        })
    }
}

fn duplicates(rules: &[Rule]) -> Vec<String> {
    let mut first = HashMap::new();
    let again = rules.iter().filter_map(|rule| {
        let before = first.get(rule.content.as_str()).copied();
        let before: &str = match before {
            Some(before) => before,
            None => {
                first.insert(rule.content.as_str(), rule.id.as_str());
                return None;
            }
        };
        Some(format!("{:?} is a duplicate of {before:?}", rule.id))
    });
    again.collect()
}

/// Returns a warning for each rule that permits only what another rule forbids unconditionally.
fn overruled(rules: &[Rule]) -> Vec<String> {
    let mut forbidden: HashMap<(String, String), Vec<&Rule>> = HashMap::new();
    for rule in rules.iter().filter(|r| !r.is_permit && !r.has_conditions) {
        let scope = (&rule.scope.principal, &rule.scope.resource);
        let scope = (scope.0.to_string(), scope.1.to_string());
        forbidden.entry(scope).or_default().push(rule);
    }
    let overruling = |permit: &Rule| {
        let scopes = permit.scope.containing();
        let rules = scopes
            .iter()
            .filter_map(|scope| forbidden.get(scope))
            .flatten();
        let mut rules = rules.filter(|rule| permit.scope.actions & !rule.scope.actions == 0);
        rules.next().map(|rule| rule.id.clone())
    };
    let permits = rules.iter().filter(|rule| rule.is_permit);
    let never = permits.filter_map(|permit| {
        let by = overruling(permit)?;
        Some(format!(
            "{:?} never permits anything: {by:?} forbids all of it",
            permit.id
        ))
    });
    never.collect()
}

impl Scope {
    /// Returns the principal and resource of each scope that contains this one. Only the scopes are compared, not the entities.
    fn containing(&self) -> Vec<(String, String)> {
        let all = json!({ "op": "All" });
        let store =
            entity(&self.resource).and_then(|(kind, id)| match (kind, id.split_once('/')) {
                ("Xks::Key", Some((store, _))) => Some(json!({
                    "op": "in", "entity": { "type": "Xks::KeyStore", "id": store }
                })),
                _ => None,
            });
        let principals = [Some(&all), Some(&self.principal)];
        let resources = [Some(&all), Some(&self.resource), store.as_ref()];
        let pairs = principals.into_iter().flatten().flat_map(|principal| {
            let resources = resources.into_iter().flatten();
            resources.map(move |resource| (principal.to_string(), resource.to_string()))
        });
        pairs.collect()
    }
}

/// Returns the actions of a scope as a set of bits.
fn actions(scope: &Value) -> u8 {
    let entity_bits = |entity: &Value| match entity.get("id").and_then(Value::as_str) {
        Some("Encrypt") => 1,
        Some("Decrypt") => 2,
        Some("Use") => 3,
        Some("GetKeyMetadata" | "Describe") => 4,
        // An unknown action: no other scope contains it.
        _ => 8,
    };
    match (
        scope.get("entity"),
        scope.get("entities").and_then(Value::as_array),
    ) {
        (Some(entity), _) => entity_bits(entity),
        (None, Some(entities)) => entities
            .iter()
            .fold(0, |set, entity| set | entity_bits(entity)),
        (None, None) => 7,
    }
}

/// Returns the type and id of the entity in a scope.
fn entity(scope: &Value) -> Option<(&str, &str)> {
    let entity = scope.get("entity")?;
    Some((entity.get("type")?.as_str()?, entity.get("id")?.as_str()?))
}

#[cfg(test)]
mod tests {
    use crate::policy::{Policy, PolicyMode, PolicySource};

    fn warnings(text: &str) -> Vec<String> {
        let (name, text) = ("rules".to_owned(), text.to_owned());
        let source = PolicySource { name, text };
        let (_, warnings) = Policy::load(&[source], PolicyMode::Enforce).unwrap();
        warnings.iter().map(ToString::to_string).collect()
    }

    const ALL: &str = "@id(\"all\") permit(principal, action, resource);";

    #[test]
    fn a_duplicate_rule_is_named() {
        let duplicate = "@id(\"b\")\n  permit ( principal,action,\nresource ) ; // the same";
        assert_eq!(
            warnings(&format!("{ALL}{duplicate}")),
            ["\"b\" is a duplicate of \"all\""]
        );
        let other = "@id(\"b\") permit(principal, action in Xks::Action::\"Use\", resource);";
        assert!(warnings(&format!("{ALL}{other}")).is_empty());
    }

    #[test]
    fn a_rule_that_is_always_overridden_is_named() {
        let forbid = |scope: &str| format!("@id(\"no\") forbid({scope});");
        let never = ["\"one\" never permits anything: \"no\" forbids all of it"];
        let one = "@id(\"one\") permit(principal in Xks::Account::\"111122223333\", action == Xks::Action::\"Encrypt\", \
                   resource == Xks::Key::\"payments/orders\") when { context.hour > 3 };";
        for covering in [
            "principal, action, resource",
            "principal in Xks::Account::\"111122223333\", action, resource",
            "principal, action in Xks::Action::\"Use\", resource",
            "principal, action in [Xks::Action::\"Encrypt\", Xks::Action::\"Decrypt\"], resource",
            "principal, action, resource == Xks::Key::\"payments/orders\"",
            "principal, action, resource in Xks::KeyStore::\"payments\"",
        ] {
            assert_eq!(
                warnings(&format!("{one}{}", forbid(covering))),
                never,
                "{covering}"
            );
        }
        for apart in [
            "principal in Xks::Account::\"999922223333\", action, resource",
            "principal, action == Xks::Action::\"Decrypt\", resource",
            "principal, action, resource in Xks::KeyStore::\"retail\"",
            "principal, action, resource == Xks::Key::\"payments/other\"",
        ] {
            assert!(
                warnings(&format!("{one}{}", forbid(apart))).is_empty(),
                "{apart}"
            );
        }
        let at_night = "@id(\"no\") forbid(principal, action, resource) when { context.hour < 6 };";
        assert!(warnings(&format!("{one}{at_night}")).is_empty());
    }

    #[test]
    fn warnings_beyond_the_maximum_are_counted() {
        let rule = |n: u32| format!("@id(\"r{n}\") permit(principal, action, resource);\n");
        let found = warnings(&(0..50).map(rule).collect::<String>());
        assert_eq!(found.len(), super::MAX_NAMED + 1);
        assert_eq!(found[super::MAX_NAMED], "29 more rules have no effect");
    }
}
