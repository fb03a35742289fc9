//! Rules that decide nothing: what cannot be told of one rule alone.

use std::collections::HashMap;

use cedar_policy::Policy;
use serde_json::{Value, json};

use crate::policy::load::PolicyWarning;

/// More than these are counted, not named.
const MAX_NAMED: usize = 20;

/// Rules that say what one before them says, and rules that permit what another one forbids under no condition.
pub(in crate::policy) fn warnings<'a>(rules: impl Iterator<Item = &'a Policy>) -> Vec<PolicyWarning> {
    let rules: Vec<Rule> = rules.filter_map(Rule::read).collect();
    let mut found = duplicates(&rules);
    found.extend(overruled(&rules));
    let more = found.len().saturating_sub(MAX_NAMED);
    found.truncate(MAX_NAMED);
    if more > 0 {
        found.push(format!("{more} more rules decide nothing"));
    }
    found.into_iter().map(PolicyWarning::new).collect()
}

struct Rule {
    id: String,
    /// All of it but its name and other annotations, whatever its layout.
    whole: String,
    is_permit: bool,
    has_conditions: bool,
    scope: Scope,
}

/// What a rule is about, before its conditions.
struct Scope {
    principal: Value,
    actions: u8,
    resource: Value,
}

impl Rule {
    fn read(policy: &Policy) -> Option<Self> {
        let mut whole = policy.to_json().ok()?;
        whole.as_object_mut()?.remove("annotations");
        let part = |name: &str| whole.get(name).cloned().unwrap_or_default();
        Some(Self {
            id: policy.id().to_string(),
            is_permit: policy.effect() == cedar_policy::Effect::Permit,
            has_conditions: policy.has_non_scope_constraint(),
            scope: Scope {
                principal: part("principal"),
                actions: actions(&part("action")),
                resource: part("resource"),
            },
            whole: whole.to_string(),
        })
    }
}

fn duplicates(rules: &[Rule]) -> Vec<String> {
    let mut first = HashMap::new();
    let again = rules.iter().filter_map(|rule| {
        let before = first.get(rule.whole.as_str()).copied();
        let before: &str = match before {
            Some(before) => before,
            None => {
                first.insert(rule.whole.as_str(), rule.id.as_str());
                return None;
            }
        };
        Some(format!("{:?} says the same as {before:?}", rule.id))
    });
    again.collect()
}

/// Rules that permit only what some rule forbids whatever the conditions.
fn overruled(rules: &[Rule]) -> Vec<String> {
    let mut forbidden: HashMap<(String, String), Vec<&Rule>> = HashMap::new();
    for rule in rules.iter().filter(|r| !r.is_permit && !r.has_conditions) {
        let scope = (&rule.scope.principal, &rule.scope.resource);
        let scope = (scope.0.to_string(), scope.1.to_string());
        forbidden.entry(scope).or_default().push(rule);
    }
    let overruling = |permit: &Rule| {
        let scopes = permit.scope.wider();
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
    /// Principal and resource of each scope that has all of this one's in it, as far as scopes alone can say.
    fn wider(&self) -> Vec<(String, String)> {
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

/// The actions of a scope, as a set of bits.
fn actions(scope: &Value) -> u8 {
    let of_entity = |entity: &Value| match entity.get("id").and_then(Value::as_str) {
        Some("Encrypt") => 1,
        Some("Decrypt") => 2,
        Some("Use") => 3,
        Some("GetKeyMetadata" | "Describe") => 4,
        // Not known: nothing follows from it.
        _ => 8,
    };
    match (
        scope.get("entity"),
        scope.get("entities").and_then(Value::as_array),
    ) {
        (Some(entity), _) => of_entity(entity),
        (None, Some(entities)) => entities
            .iter()
            .fold(0, |set, entity| set | of_entity(entity)),
        (None, None) => 7,
    }
}

/// Kind and id of the entity that a scope is about.
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
    fn a_rule_that_is_there_twice_is_named() {
        let twice = "@id(\"b\")\n  permit ( principal,action,\nresource ) ; // the same";
        assert_eq!(
            warnings(&format!("{ALL}{twice}")),
            ["\"b\" says the same as \"all\""]
        );
        let other = "@id(\"b\") permit(principal, action in Xks::Action::\"Use\", resource);";
        assert!(warnings(&format!("{ALL}{other}")).is_empty());
    }

    #[test]
    fn what_is_forbidden_in_any_case_is_never_permitted() {
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
    fn many_are_counted() {
        let rule = |n: u32| format!("@id(\"r{n}\") permit(principal, action, resource);\n");
        let found = warnings(&(0..50).map(rule).collect::<String>());
        assert_eq!(found.len(), super::MAX_NAMED + 1);
        assert_eq!(found[super::MAX_NAMED], "29 more rules decide nothing");
    }
}
