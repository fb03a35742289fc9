//! The parts of an AWS principal's ARN. An ARN of an unknown form is a principal of kind "other", not an error: AWS may add forms.

use super::roles::{Role, is_account};
use crate::partitions::{has_partition_form, service_principal};

/// The values of `principal.kind`.
pub(super) const KINDS: [&str; 8] = [
    "user",
    "role",
    "assumed-role",
    "federated-user",
    "root",
    "service",
    "aws-internal",
    "other",
];

/// The parts of a principal's ARN.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub kind: &'static str,
    pub account: Option<&'a str>,
    pub name: Option<&'a str>,
    pub session: Option<&'a str>,
    /// The role itself, or the role of the session.
    pub role: Option<Role<'a>>,
}

impl<'a> Parts<'a> {
    fn with_kind(kind: &'static str) -> Self {
        Self {
            kind,
            account: None,
            name: None,
            session: None,
            role: None,
        }
    }

    /// Parses the parts of `principal`.
    pub(super) fn parse(principal: &'a str) -> Self {
        if principal.eq_ignore_ascii_case("AWS Internal") {
            return Self::with_kind("aws-internal");
        }
        if let Some(service) = service_principal(principal) {
            let name = Some(service);
            return Self {
                name,
                ..Self::with_kind("service")
            };
        }
        Self::parse_arn(principal).unwrap_or_else(|| Self::with_kind("other"))
    }

    fn parse_arn(arn: &'a str) -> Option<Self> {
        let mut fields = arn.splitn(6, ':');
        let (prefix, partition, service) = (fields.next()?, fields.next()?, fields.next()?);
        let (_region, account, resource) = (fields.next()?, fields.next()?, fields.next()?);
        if prefix != "arn" || !has_partition_form(partition) {
            return None;
        }
        let account = account_id(account);
        let (kind, rest) = match resource.split_once('/') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (resource, None),
        };
        let parts = |kind, name| Self {
            account,
            name,
            ..Self::with_kind(kind)
        };
        Some(match (service, kind, rest) {
            ("iam", "root", None) => parts("root", None),
            ("iam", "user", Some(path)) => parts("user", last(path)),
            ("iam", "role", Some(path)) => Self {
                role: Role::of_arn(arn),
                ..parts("role", last(path))
            },
            ("sts", "assumed-role", Some(rest)) => {
                let (name, session) = rest.split_once('/')?;
                Self {
                    session: Some(session),
                    role: account.map(|account| Role {
                        partition,
                        account,
                        path: "",
                        name,
                    }),
                    ..parts("assumed-role", Some(name))
                }
            }
            ("sts", "federated-user", Some(name)) => Self {
                session: Some(name),
                ..parts("federated-user", Some(name))
            },
            _ => parts("other", None),
        })
    }
}

/// Returns why no request can have this principal, as text that follows "which". None when a request can have it. AWS may add forms of
/// ARNs, so an unknown form is not a problem.
pub(super) fn principal_problem(principal: &str) -> Option<&'static str> {
    if principal.contains(['*', '?']) {
        return Some("is compared as a whole: * is not a wildcard; use principal.arn like \"…*\"");
    }
    if !principal.starts_with("arn:") {
        let is_service = service_principal(principal).is_some();
        // A request without a principal has an empty one.
        let is_known = principal.is_empty() || principal.eq_ignore_ascii_case("AWS Internal");
        return (!is_service && !is_known).then_some("is neither an ARN nor an AWS service");
    }
    let mut fields = principal.splitn(6, ':').skip(2);
    let (service, _region) = (fields.next(), fields.next());
    let (account, resource) = (fields.next().unwrap_or_default(), fields.next());
    if !matches!(service, Some("iam" | "sts")) {
        return None;
    }
    let session = resource.and_then(|resource| resource.strip_prefix("assumed-role/"));
    if !is_account(account) {
        return Some("has an account that is not twelve digits");
    }
    (session.is_some_and(|session| !session.contains('/')))
        .then_some("has no session name; name the role as an Xks::Role")
}

/// Returns the partition of any ARN. None when the text is not an ARN.
pub(super) fn partition_of(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.split(':').next()
}

/// Returns the account id of any ARN. None when it is not twelve digits.
pub(super) fn account_of(arn: &str) -> Option<&str> {
    let partition = partition_of(arn).filter(|name| has_partition_form(name));
    account_id(partition.and(arn.split(':').nth(4))?)
}

fn account_id(text: &str) -> Option<&str> {
    is_account(text).then_some(text)
}

/// Returns the name at the end of a path. Roles and users can have a path before their name.
fn last(path: &str) -> Option<&str> {
    path.rsplit('/').next()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn describe(principal: &str) -> String {
        let Parts {
            kind,
            account,
            name,
            session,
            role,
        } = Parts::parse(principal);
        let dash = |part: Option<&str>| part.unwrap_or("-").to_owned();
        let role = role.map(|role| {
            let (path, name) = (role.path, role.name);
            let path = if path.is_empty() {
                "/"
            } else {
                &format!("/{path}/")
            };
            format!(
                "arn:{}:iam::{}:role{path}{name}",
                role.partition, role.account
            )
        });
        let role = dash(role.as_deref());
        assert!(KINDS.contains(&kind), "{kind}");
        format!(
            "{kind} {} {} {} {role}",
            dash(account),
            dash(name),
            dash(session)
        )
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn principals_are_parsed() {
        let role = "arn:aws:iam::111122223333:role/Orders";
        for (principal, expected) in [
            (
                "arn:aws:iam::111122223333:user/Alice",
                "user 111122223333 Alice - -".to_owned(),
            ),
            (
                "arn:aws:iam::111122223333:user/a/b/Bob",
                "user 111122223333 Bob - -".to_owned(),
            ),
            (
                "arn:aws:iam::111122223333:root",
                "root 111122223333 - - -".to_owned(),
            ),
            (role, format!("role 111122223333 Orders - {role}")),
            (
                "arn:aws:sts::111122223333:assumed-role/Orders/i-0abc",
                format!("assumed-role 111122223333 Orders i-0abc {role}"),
            ),
            (
                "arn:aws-cn:sts::111122223333:assumed-role/Orders/x/y",
                "assumed-role 111122223333 Orders x/y arn:aws-cn:iam::111122223333:role/Orders"
                    .to_owned(),
            ),
            (
                "arn:aws:sts::111122223333:federated-user/Eve",
                "federated-user 111122223333 Eve Eve -".to_owned(),
            ),
            (
                "arn:aws-us-gov:iam::111122223333:role/Orders",
                "role 111122223333 Orders - arn:aws-us-gov:iam::111122223333:role/Orders"
                    .to_owned(),
            ),
            (
                "arn:aws-eusc:iam::111122223333:user/Alice",
                "user 111122223333 Alice - -".to_owned(),
            ),
            (
                "arn:aws-tomorrow:iam::111122223333:root",
                "root 111122223333 - - -".to_owned(),
            ),
            (
                "arn:amazon:iam::111122223333:root",
                "other - - - -".to_owned(),
            ),
            ("s3.amazonaws.com", "service - s3 - -".to_owned()),
            ("s3.amazonaws.com.cn", "service - s3 - -".to_owned()),
            ("s3.amazonaws.eu", "service - s3 - -".to_owned()),
            (
                "logs.us-gov-west-1.amazonaws.com",
                "service - logs - -".to_owned(),
            ),
            ("s3.amazonaws.org", "other - - - -".to_owned()),
            ("AWS Internal", "aws-internal - - - -".to_owned()),
            ("arn:aws:iam::12:user/Alice", "user - Alice - -".to_owned()),
            (
                "arn:aws:sts::111122223333:assumed-role/Orders",
                "other - - - -".to_owned(),
            ),
            ("arn:aws:s3:::bucket", "other - - - -".to_owned()),
            ("", "other - - - -".to_owned()),
            ("arn:aws:iam::111122223333", "other - - - -".to_owned()),
            ("\u{1F511}\n", "other - - - -".to_owned()),
        ] {
            assert_eq!(describe(principal), expected, "{principal:?}");
        }
        assert_eq!(
            account_of("arn:aws:kms:eu-west-1:111122223333:key/x"),
            Some("111122223333")
        );
        assert_eq!(
            account_of("arn:aws-eusc:kms:eusc-de-east-1:111122223333:key/x"),
            Some("111122223333")
        );
        for none in [
            "nonsense",
            "arn:aws:kms:eu-west-1:1:key/x",
            "arn:amazon:kms:eu-west-1:111122223333:key/x",
            "urn:aws:kms:eu-west-1:111122223333:key/x",
        ] {
            assert_eq!(account_of(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn an_arn_of_any_partition_is_parsed(partition in "aws[a-z-]{0,8}", account in "[0-9]{12}", name in "[A-Za-z0-9_+=,.@-]{1,64}") {
            let role = format!("arn:{partition}:iam::{account}:role/{name}");
            prop_assert_eq!(describe(&role), format!("role {account} {name} - {role}"));
            let session = format!("arn:{partition}:sts::{account}:assumed-role/{name}/s");
            prop_assert_eq!(describe(&session), format!("assumed-role {account} {name} s {role}"));
            prop_assert_eq!(principal_problem(&session), None);
        }

        #[test]
        fn any_text_has_a_kind(text in "(arn:)?.{0,60}") {
            prop_assert!(!describe(&text).is_empty());
        }
    }

    #[test]
    fn the_path_of_a_role_is_kept() {
        let with_path = "arn:aws:iam::111122223333:role/team/Orders";
        let expected = format!("role 111122223333 Orders - {with_path}");
        assert_eq!(describe(with_path), expected);
    }
}
