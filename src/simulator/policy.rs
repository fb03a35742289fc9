//! Key policies: a simple, honest part of IAM's language.
//!
//! Understood: Effect, Principal (AWS), Action and Resource with wildcards. Not understood: Condition, NotPrincipal, NotAction,
//! NotResource. A statement with one of those never allows, always denies, and [`Policy::not_understood`] says so.

use serde_json::Value;

use super::credentials::account_of;

/// A key policy.
#[derive(Debug)]
pub(super) struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug)]
struct Statement {
    name: String,
    allows: bool,
    principals: Vec<String>,
    actions: Vec<String>,
    resources: Vec<String>,
    /// Members that this reader does not understand.
    strange: Vec<&'static str>,
}

/// What a policy says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Denied,
    Silent,
}

/// What is said to be not understood.
const STRANGE: [&str; 4] = ["Condition", "NotPrincipal", "NotAction", "NotResource"];

impl Policy {
    /// The policy, or what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let policy: Value = serde_json::from_str(text).map_err(|_| "it is not JSON".to_owned())?;
        let version = policy.get("Version").and_then(Value::as_str);
        if !matches!(version, None | Some("2012-10-17" | "2008-10-17")) {
            return Err("its Version is not 2012-10-17".to_owned());
        }
        let statements = match policy.get("Statement") {
            Some(Value::Array(statements)) => statements.iter().collect(),
            Some(statement @ Value::Object(_)) => vec![statement],
            _ => return Err("it has no Statement".to_owned()),
        };
        let statements: Result<Vec<_>, _> = (1..).zip(statements).map(Statement::parse).collect();
        Ok(Self {
            statements: statements?,
        })
    }

    /// What it says about this principal, action (without `kms:`) and key.
    pub(super) fn judge(&self, principal: &str, action: &str, key_arn: &str) -> Verdict {
        let action = format!("kms:{action}");
        let mut verdict = Verdict::Silent;
        for statement in &self.statements {
            match (
                statement.applies(principal, &action, key_arn),
                statement.allows,
            ) {
                (true, false) => return Verdict::Denied,
                (true, true) => verdict = Verdict::Allowed,
                (false, _) => {}
            }
        }
        verdict
    }

    /// What of it is not understood, in words for an operator.
    pub(super) fn not_understood(&self) -> Vec<String> {
        let strange = self.statements.iter().filter(|s| !s.strange.is_empty());
        strange
            .map(|statement| {
                let taken = if statement.allows {
                    "allows nothing"
                } else {
                    "denies whatever else it names"
                };
                format!(
                    "statement {} has {}, which the simulator does not evaluate: it {taken}",
                    statement.name,
                    statement.strange.join(" and ")
                )
            })
            .collect()
    }
}

impl Statement {
    fn parse((number, statement): (usize, &Value)) -> Result<Self, String> {
        let name = statement.get("Sid").and_then(Value::as_str);
        let name = name.map_or_else(|| number.to_string(), |sid| format!("{sid:?}"));
        let allows = match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => {
                return Err(format!(
                    "the Effect of statement {name} is neither Allow nor Deny"
                ));
            }
        };
        let has = |member: &str| statement.get(member).is_some();
        let strange: Vec<_> = STRANGE.into_iter().filter(|member| has(member)).collect();
        let texts = |member: &str| {
            let texts = statement.get(member).map_or(Some(vec![]), texts);
            let is_there = has(member) || has(&format!("Not{member}"));
            texts
                .filter(|_| is_there)
                .ok_or_else(|| format!("the {member} of statement {name} is missing, or not text"))
        };
        let principals = match statement.get("Principal") {
            None if has("NotPrincipal") => vec![],
            Some(Value::String(all)) if all == "*" => vec!["*".to_owned()],
            Some(Value::Object(kinds)) => kinds
                .get("AWS")
                .map_or(Some(vec![]), self::texts)
                .ok_or_else(|| format!("the Principal of statement {name} is not text"))?,
            _ => {
                return Err(format!(
                    "the Principal of statement {name} is missing or malformed"
                ));
            }
        };
        let (actions, resources) = (texts("Action")?, texts("Resource")?);
        Ok(Self {
            name,
            allows,
            principals,
            actions,
            resources,
            strange,
        })
    }

    /// Whether it is about this request. What is not understood makes an Allow void, and a Deny wide.
    fn applies(&self, principal: &str, action: &str, key_arn: &str) -> bool {
        if self.allows && !self.strange.is_empty() {
            return false;
        }
        let is_strange = |member: &str| self.strange.contains(&member);
        let who = is_strange("NotPrincipal")
            || self.principals.iter().any(|named| is_of(named, principal));
        let what = is_strange("NotAction")
            || self.actions.iter().any(|pattern| {
                matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
            });
        let which = is_strange("NotResource")
            || self
                .resources
                .iter()
                .any(|pattern| matches(pattern, key_arn));
        who && what && which
    }
}

/// A text, or an array of texts.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

/// Whether a principal is the one named, a session of the role named, or of the account named.
pub(super) fn is_of(named: &str, principal: &str) -> bool {
    let account = account_of(principal).unwrap_or("-");
    named == "*"
        || named == principal
        || named == account
        || named == format!("arn:aws:iam::{account}:root")
        || role_of(principal).is_some_and(|role| role == named)
}

/// The role of a session.
fn role_of(principal: &str) -> Option<String> {
    let account = account_of(principal)?;
    let (_, session) = principal.split_once(":assumed-role/")?;
    let (role, _) = session.split_once('/')?;
    Some(format!("arn:aws:iam::{account}:role/{role}"))
}

/// Whether a pattern with `*` and `?` matches a whole text.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // Where to go on after the last star: each star is tried with one byte more when the rest does not fit.
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || Some(&byte) == text.get(t) => (p, t) = (p + 1, t + 1),
            _ => match retry {
                None => return false,
                Some((after, from)) => {
                    (p, t) = (after, from + 1);
                    retry = Some((after, from + 1));
                }
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

/// The policy of a key that was made without one.
pub(super) fn default_policy(account: &str) -> String {
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
            "Action": "kms:*",
            "Resource": "*",
        }],
    });
    policy.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/k";
    const ALICE: &str = "arn:aws:iam::111122223333:user/alice";

    fn judge(statements: Value, principal: &str, action: &str) -> Verdict {
        let policy = json!({ "Version": "2012-10-17", "Statement": statements });
        Policy::parse(&policy.to_string())
            .unwrap()
            .judge(principal, action, KEY)
    }

    fn statement(effect: &str, principal: Value, action: &str) -> Value {
        json!({ "Effect": effect, "Principal": principal, "Action": action, "Resource": "*" })
    }

    #[test]
    fn the_default_policy_lets_the_account_and_nobody_else() {
        let policy = Policy::parse(&default_policy("111122223333")).unwrap();
        assert_eq!(policy.judge(ALICE, "Encrypt", KEY), Verdict::Allowed);
        assert_eq!(
            policy.judge("arn:aws:iam::444455556666:user/eve", "Encrypt", KEY),
            Verdict::Silent
        );
        assert!(policy.not_understood().is_empty());
    }

    #[test]
    fn principals_actions_and_resources() {
        let alice = json!({ "AWS": [ALICE] });
        let to = |action: &str, asked: &str| {
            judge(
                json!([statement("Allow", alice.clone(), action)]),
                ALICE,
                asked,
            )
        };
        assert_eq!(to("kms:Encrypt", "Encrypt"), Verdict::Allowed);
        assert_eq!(to("KMS:encrypt*", "Encrypt"), Verdict::Allowed);
        assert_eq!(
            to("kms:Generate*", "GenerateDataKeyWithoutPlaintext"),
            Verdict::Allowed
        );
        assert_eq!(
            to("kms:GenerateDataKey", "GenerateDataKeyWithoutPlaintext"),
            Verdict::Silent
        );
        assert_eq!(to("kms:*", "Decrypt"), Verdict::Allowed);
        assert_eq!(to("s3:*", "Decrypt"), Verdict::Silent);
        let session = "arn:aws:sts::111122223333:assumed-role/app/s1";
        let role = json!({ "AWS": "arn:aws:iam::111122223333:role/app" });
        assert_eq!(
            judge(json!(statement("Allow", role, "kms:*")), session, "Encrypt"),
            Verdict::Allowed
        );
        let service = json!({ "Service": "s3.amazonaws.com" });
        assert_eq!(
            judge(
                json!([statement("Allow", service, "kms:*")]),
                ALICE,
                "Encrypt"
            ),
            Verdict::Silent
        );
        let mut other = statement("Allow", alice, "kms:*");
        other["Resource"] = json!("arn:aws:kms:*:key/other");
        assert_eq!(judge(json!([other]), ALICE, "Encrypt"), Verdict::Silent);
    }

    #[test]
    fn a_deny_wins() {
        let statements = json!([
            statement("Allow", json!("*"), "kms:*"),
            statement("Deny", json!({ "AWS": ALICE }), "kms:Decrypt"),
        ]);
        assert_eq!(judge(statements.clone(), ALICE, "Decrypt"), Verdict::Denied);
        assert_eq!(judge(statements, ALICE, "Encrypt"), Verdict::Allowed);
    }

    #[test]
    fn what_is_not_understood_is_said_and_never_lets_anybody() {
        let mut allow = statement("Allow", json!("*"), "kms:*");
        allow["Condition"] = json!({ "Bool": { "aws:SecureTransport": "true" } });
        let mut deny = statement("Deny", json!("*"), "kms:Decrypt");
        deny["Condition"] = json!({});
        assert_eq!(
            judge(json!([allow.clone()]), ALICE, "Encrypt"),
            Verdict::Silent
        );
        assert_eq!(
            judge(
                json!([statement("Allow", json!("*"), "kms:*"), deny.clone()]),
                ALICE,
                "Decrypt"
            ),
            Verdict::Denied
        );
        let text = json!({ "Statement": [allow, deny] }).to_string();
        let said = Policy::parse(&text).unwrap().not_understood();
        assert!(
            said.len() == 2 && said.iter().all(|line| line.contains("Condition")),
            "{said:?}"
        );
    }

    #[test]
    fn what_is_no_policy() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"Statement":7}"#,
            r#"{"Version":"1","Statement":[]}"#,
            r#"{"Statement":[{"Effect":"Maybe","Principal":"*","Action":"kms:*","Resource":"*"}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Principal":"*","Resource":"*"}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":7,"Resource":"*"}]}"#,
        ] {
            assert!(Policy::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wildcards() {
        for (pattern, text, does) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*", "xxaxx", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "aXbYbZc", true),
        ] {
            assert_eq!(matches(pattern, text), does, "{pattern} {text}");
        }
    }
}
