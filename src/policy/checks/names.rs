//! Names that cannot exist. The configuration does not have the key store, key, Region, label or tag. Or AWS cannot have the account, role,
//! principal, operation, VPC or KMS key. A comparison with such a name has no effect.
//!
//! Names are found in the parsed rules: entities anywhere in a rule, and texts that a rule compares with an attribute.

mod configured;
mod kinds;

use std::collections::BTreeSet;

use cedar_policy::{EntityUid, Policy, PolicyId, PolicySet};

use super::comparisons::{comparisons, patterns};
use crate::connections::ClientCertificate;
use crate::policy::source::PolicyWarning;

pub use configured::Names;

use kinds::{CLIENT_CERTIFICATE, NameKind, VIA_SERVICE};

/// The maximum number of warnings. Further names are only counted.
const MAX_SHOWN: usize = 20;

/// An entity in a rule, with the name of the rule.
pub(in crate::policy) type Literal = (PolicyId, EntityUid);

/// Returns every entity in the rules.
pub(in crate::policy) fn literals(rules: &PolicySet) -> Vec<Literal> {
    let rule_literals = |rule: &Policy| {
        let id = rule.id().clone();
        let literals = rule.entity_literals().into_iter();
        literals
            .map(move |uid| (id.clone(), uid))
            .collect::<Vec<_>>()
    };
    rules.policies().flat_map(rule_literals).collect()
}

/// Returns a warning for each name that cannot exist, sorted by the names of the rules.
pub(in crate::policy) fn warnings(
    rules: &PolicySet,
    literals: &[Literal],
    names: &Names,
) -> Vec<PolicyWarning> {
    let entity = |(rule, uid): &Literal| Some((rule.to_string(), Mention::from_entity(uid)?));
    let mut mentions: BTreeSet<(String, Mention)> = literals.iter().filter_map(entity).collect();
    mentions.extend(rules.policies().flat_map(compared_texts));
    let mut problems = mentions.iter().filter_map(|(rule, mention)| {
        let problem = mention.kind.problem(names, &mention.text)?;
        Some(format!("{rule:?} {problem}"))
    });
    let mut warnings: Vec<String> = problems.by_ref().take(MAX_SHOWN).collect();
    let more = problems.count();
    if more > 0 {
        warnings.push(format!("{more} more names in rules cannot exist"));
    }
    warnings.into_iter().map(PolicyWarning::new).collect()
}

/// Returns the names of the rules that compare the result of client authentication with any value except `off`.
pub(in crate::policy) fn about_client_certificates(rules: &PolicySet) -> Vec<String> {
    let off = ClientCertificate::Off.as_str();
    let mentions = rules.policies().flat_map(compared_texts);
    let mut found: Vec<String> = mentions
        .filter(|(_, mention)| {
            mention.kind.is_of_attribute(CLIENT_CERTIFICATE) && mention.text != off
        })
        .map(|(rule, _)| rule)
        .collect();
    found.dedup();
    found
}

/// A name in a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mention {
    kind: NameKind,
    text: String,
}

/// Returns every text that a rule compares with an attribute, with the name of the rule.
fn compared_texts(rule: &Policy) -> Vec<(String, Mention)> {
    let mut found = Vec::new();
    // Only conditions compare attributes. Most rules of a large policy have no conditions.
    if let (true, Ok(json)) = (rule.has_non_scope_constraint(), rule.to_json()) {
        comparisons(&json, &mut |attribute, text| {
            found.extend(Mention::from_attribute(attribute, text));
        });
        patterns(&json, &mut |attribute, pattern| {
            found.extend(Mention::from_pattern(attribute, pattern));
        });
    }
    let named = |mention| (rule.id().to_string(), mention);
    found.into_iter().map(named).collect()
}

impl Mention {
    fn from_entity(uid: &EntityUid) -> Option<Self> {
        Some(Self {
            kind: NameKind::of_entity(uid.type_name().basename())?,
            text: uid.id().unescaped().to_owned(),
        })
    }

    /// A text that a rule compares with `variable.attribute`.
    fn from_attribute(attribute: (&str, &str), text: &str) -> Option<Self> {
        Some(Self {
            kind: NameKind::of_attribute(attribute)?,
            text: text.to_owned(),
        })
    }

    /// A pattern that a rule compares with `variable.attribute`. Only patterns of `kmsViaService` are checked: after a Region has replaced each
    /// wildcard, the text shows whether the pattern contains more than the name of a service.
    fn from_pattern(attribute: (&str, &str), pattern: &[Option<&str>]) -> Option<Self> {
        let parts = pattern.iter().map(|part| part.unwrap_or("us-east-1"));
        match attribute == VIA_SERVICE {
            true => Self::from_attribute(attribute, &parts.collect::<String>()),
            false => None,
        }
    }
}

#[cfg(test)]
mod tests;
