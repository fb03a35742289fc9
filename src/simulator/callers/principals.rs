//! The principals file (`--principals`): tags and identity policies of principals.
//!
//! # Invariants
//! - With the file, every action needs a policy or a grant. Without it, identity policies allow everything.
//! - The file has no secrets. It must have each caller of the credentials file.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

use crate::simulator::callers::credentials::KmsCredentials;
use crate::simulator::policy::{
    ConfiguredValues, ContextKey, IamPolicy, Pairs, PolicyDecision, PolicyDocument, PolicyKind,
    PolicyRequest, UniqueMembers, role_of,
};
use crate::simulator::wire::names::{account_of, is_service};

/// The principals of all accounts, by access key.
#[derive(Debug)]
pub struct Principals(HashMap<String, CallerProperties>);

/// An error in a principals file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PrincipalsError {
    /// The file is not JSON of the right form.
    #[error("the file is not a list of principals in JSON: {0}")]
    Json(String),
    /// An ARN is not that of a user or a role.
    #[error("{0} is not the ARN of a user or a role")]
    Arn(String),
    /// A principal, an access key or a tag occurs twice.
    #[error("{0} occurs twice")]
    Twice(String),
    /// An identity policy cannot be evaluated.
    #[error("policy {1} of {0}: {2}")]
    Policy(String, usize, String),
    /// A caller of the credentials file has no entry.
    #[error(
        "{0} is in the credentials file but has no entry in the principals file: add it, with an empty list of policies if it may do nothing"
    )]
    Missing(String),
    /// The credentials file does not have an access key.
    #[error("requests: the credentials file has no access key {0}")]
    AccessKey(String),
    /// A condition key is unknown, or its value cannot be set.
    #[error("requests: {0}")]
    Context(String),
}

/// The tags, policies and condition keys of a caller.
#[derive(Clone, Debug, Default)]
pub(in crate::simulator) struct CallerProperties {
    /// The principal with its policies. If none, identity policies allow everything.
    pub(in crate::simulator) identity: Option<Arc<IamPrincipal>>,
    pub(in crate::simulator) configured: Arc<ConfiguredValues>,
    /// The source address of the request.
    pub(in crate::simulator) source: Option<IpAddr>,
}

/// A user, a role, an account or a service.
#[derive(Debug)]
pub(in crate::simulator) struct IamPrincipal {
    /// The ARN. For a session, the ARN of its role.
    pub(in crate::simulator) arn: String,
    pub(in crate::simulator) tags: Pairs,
    /// None for the root user of an account, who may do everything.
    policies: Option<Vec<IamPolicy>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    principals: Vec<PrincipalEntry>,
    #[serde(default)]
    requests: Vec<RequestEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrincipalEntry {
    arn: String,
    tags: Option<UniqueMembers<String>>,
    #[serde(default)]
    policies: Vec<PolicyDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestEntry {
    access_key_id: String,
    context: UniqueMembers<String>,
}

impl Principals {
    /// Parses a principals file for these callers.
    ///
    /// # Errors
    /// [`PrincipalsError`].
    pub fn parse(text: &str, credentials: &KmsCredentials) -> Result<Self, PrincipalsError> {
        let file: File =
            serde_json::from_str(text).map_err(|error| PrincipalsError::Json(error.to_string()))?;
        let mut identities = HashMap::new();
        for entry in file.principals {
            let identity = entry.identity()?;
            let arn = identity.arn.clone();
            if identities.insert(arn.clone(), Arc::new(identity)).is_some() {
                return Err(PrincipalsError::Twice(arn));
            }
        }
        let mut configured = configured(file.requests)?;
        let mut callers = HashMap::new();
        for (id, principal) in credentials.callers() {
            let properties = CallerProperties {
                identity: Some(identity_of(&identities, principal)?),
                configured: configured.remove(id).unwrap_or_default(),
                source: None,
            };
            callers.insert(id.to_owned(), properties);
        }
        match configured.into_keys().next() {
            Some(unknown) => Err(PrincipalsError::AccessKey(unknown)),
            None => Ok(Self(callers)),
        }
    }

    /// Returns the properties of the caller with this access key.
    pub(in crate::simulator) fn properties(&self, access_key_id: &str) -> Option<CallerProperties> {
        self.0.get(access_key_id).cloned()
    }
}

impl PrincipalEntry {
    fn identity(self) -> Result<IamPrincipal, PrincipalsError> {
        let is_principal = account_of(&self.arn).is_some()
            && (self.arn.contains(":user/") || self.arn.contains(":role/"));
        if !is_principal {
            return Err(PrincipalsError::Arn(self.arn));
        }
        let policies = (1..).zip(self.policies).map(|(number, text)| {
            let policy = IamPolicy::read(text, PolicyKind::Identity);
            policy.map_err(|reason| PrincipalsError::Policy(self.arn.clone(), number, reason))
        });
        Ok(IamPrincipal {
            policies: Some(policies.collect::<Result<_, _>>()?),
            tags: self
                .tags
                .map(|UniqueMembers(tags)| tags.into_iter().collect())
                .unwrap_or_default(),
            arn: self.arn,
        })
    }
}

fn configured(
    entries: Vec<RequestEntry>,
) -> Result<HashMap<String, Arc<ConfiguredValues>>, PrincipalsError> {
    let mut configured = HashMap::new();
    for RequestEntry {
        access_key_id,
        context,
    } in entries
    {
        let values = context.0.into_iter().map(|(name, value)| {
            let key = ContextKey::parse(&name).map_err(PrincipalsError::Context)?;
            match key.is_configurable() {
                true => Ok((key, value)),
                false => Err(PrincipalsError::Context(format!(
                    "{name} cannot be set, because the simulator computes its value"
                ))),
            }
        });
        let values = ConfiguredValues(values.collect::<Result<_, _>>()?);
        if configured
            .insert(access_key_id.clone(), Arc::new(values))
            .is_some()
        {
            return Err(PrincipalsError::Twice(access_key_id));
        }
    }
    Ok(configured)
}

fn identity_of(
    identities: &HashMap<String, Arc<IamPrincipal>>,
    principal: &str,
) -> Result<Arc<IamPrincipal>, PrincipalsError> {
    let other = |policies| IamPrincipal {
        arn: principal.to_owned(),
        tags: Pairs::new(),
        policies,
    };
    if principal.ends_with(":root") {
        return Ok(Arc::new(other(None)));
    }
    if is_service(principal) {
        return Ok(Arc::new(other(Some(vec![]))));
    }
    let found = match role_of(principal) {
        None => identities.get(principal),
        // The ARN of a session does not have the path of its role.
        Some(role) => identities
            .iter()
            .find(|(arn, _)| without_path(arn) == role)
            .map(|(_, identity)| identity),
    };
    found
        .cloned()
        .ok_or_else(|| PrincipalsError::Missing(principal.to_owned()))
}

fn without_path(role: &str) -> String {
    match (role.split_once(":role/"), role.rsplit('/').next()) {
        (Some((head, _)), Some(name)) => format!("{head}:role/{name}"),
        _ => role.to_owned(),
    }
}

impl CallerProperties {
    /// Returns the decision of the identity policies of the caller.
    pub(in crate::simulator) fn evaluate(&self, request: &PolicyRequest<'_>) -> PolicyDecision {
        let policies = self
            .identity
            .as_ref()
            .and_then(|identity| identity.policies.as_ref());
        let Some(policies) = policies else {
            return PolicyDecision::Allowed;
        };
        let decisions: Vec<_> = policies
            .iter()
            .map(|policy| policy.evaluate(request))
            .collect();
        let strongest = [PolicyDecision::Denied, PolicyDecision::Allowed];
        let found = strongest
            .into_iter()
            .find(|decision| decisions.contains(decision));
        found.unwrap_or(PolicyDecision::NotApplicable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn parsed(principals: &str, callers: &[(&str, &str)]) -> Result<Principals, PrincipalsError> {
        let lines: Vec<_> = callers
            .iter()
            .map(|(id, arn)| format!("{id} {SECRET} {arn}\n"))
            .collect();
        Principals::parse(principals, &KmsCredentials::parse(&lines.concat()).unwrap())
    }

    #[test]
    fn callers_are_found_by_access_key_and_sessions_by_their_role() {
        let callers = [
            ("AKIAUSERAAAAAAAAAAAA", "arn:aws:iam::111122223333:user/a"),
            (
                "AKIASESSIONAAAAAAAAA",
                "arn:aws:sts::111122223333:assumed-role/r/s",
            ),
            ("AKIAROOTAAAAAAAAAAAA", "arn:aws:iam::111122223333:root"),
            ("AKIASERVICEAAAAAAAAA", "dynamodb.amazonaws.com"),
        ];
        let text = r#"{"principals":[{"arn":"arn:aws:iam::111122223333:user/a","tags":{"t":"1"}},{"arn":"arn:aws:iam::111122223333:role/path/r"}],
            "requests":[{"access_key_id":"AKIAUSERAAAAAAAAAAAA","context":{"aws:SourceVpce":"vpce-1"}}]}"#;
        let principals = parsed(text, &callers).unwrap();
        let identity = |id: &str| principals.properties(id).unwrap().identity.unwrap();
        assert_eq!(identity("AKIAUSERAAAAAAAAAAAA").tags["t"], "1");
        assert_eq!(
            identity("AKIASESSIONAAAAAAAAA").arn,
            "arn:aws:iam::111122223333:role/path/r"
        );
        assert!(identity("AKIAROOTAAAAAAAAAAAA").policies.is_none());
        assert_eq!(
            principals
                .properties("AKIAUSERAAAAAAAAAAAA")
                .unwrap()
                .configured
                .0
                .len(),
            1
        );
        assert!(principals.properties("AKIA").is_none());
    }

    #[test]
    fn errors_in_the_file_are_described() {
        let caller = [("AKIAUSERAAAAAAAAAAAA", "arn:aws:iam::111122223333:user/a")];
        let entry = r#"{"arn":"arn:aws:iam::111122223333:user/a"}"#;
        for (text, message) in [
            ("[]".to_owned(), "not a list"),
            (r#"{"principals":[],"else":1}"#.to_owned(), "unknown field"),
            (r#"{"principals":[]}"#.to_owned(), "no entry"),
            (r#"{"principals":[{"arn":"arn:aws:iam::111122223333:group/g"}]}"#.to_owned(), "not the ARN"),
            (format!(r#"{{"principals":[{entry},{entry}]}}"#), "twice"),
            (r#"{"principals":[{"arn":"arn:aws:iam::111122223333:user/a","tags":{"t":"1","t":"2"}}]}"#.to_owned(), "twice"),
            (format!(r#"{{"principals":[{entry}],"requests":[{{"access_key_id":"AKIA","context":{{}}}}]}}"#), "no access key AKIA"),
            (
                format!(r#"{{"principals":[{entry}],"requests":[{{"access_key_id":"AKIA","context":{{"aws:PrincipalArn":"a"}}}}]}}"#),
                "cannot be set",
            ),
            (
                r#"{"principals":[{"arn":"arn:aws:iam::111122223333:user/a","policies":[{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}]}]}"#.to_owned(),
                "has no Principal",
            ),
        ] {
            let error = parsed(&text, &caller).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
