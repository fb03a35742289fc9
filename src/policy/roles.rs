//! IAM roles in rules and in requests.
//!
//! In IAM, the name of a role is unique in its account, whatever its path. STS omits the path from the ARN of a session: sessions of
//! `role/team/Contractors` are `assumed-role/Contractors/…`. Therefore a role in a rule matches by account and name.
//! If both the rule and the request contain a path, the paths must be equal as well.

use std::collections::HashMap;

use cedar_policy::EntityUid;

use crate::partitions::has_partition_form;

/// The parts of a role's ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Role<'a> {
    pub partition: &'a str,
    /// Twelve digits.
    pub account: &'a str,
    /// Such as `team/emea`. Empty for a role without a path, and for an ARN that omits it.
    pub path: &'a str,
    pub name: &'a str,
}

/// The partition, account and name of a role.
type RoleIdentity = (String, String, String);

/// The roles in the rules. Only these become parents of principals, because no rule can refer to any other role.
#[derive(Debug, Default)]
pub(super) struct Roles(HashMap<RoleIdentity, Vec<RuleRole>>);

#[derive(Debug)]
struct RuleRole {
    path: String,
    uid: EntityUid,
}

impl<'a> Role<'a> {
    /// Parses the IAM ARN of a role. Returns none for any other text.
    pub(super) fn of_arn(arn: &'a str) -> Option<Self> {
        let mut fields = arn.splitn(6, ':');
        let (prefix, partition, service) = (fields.next()?, fields.next()?, fields.next()?);
        let (region, account, resource) = (fields.next()?, fields.next()?, fields.next()?);
        let rest = resource.strip_prefix("role/")?;
        let (path, name) = rest.rsplit_once('/').unwrap_or(("", rest));
        let role = Self {
            partition,
            account,
            path,
            name,
        };
        let is_role = prefix == "arn" && service == "iam" && region.is_empty();
        let is_role = is_role && has_partition_form(partition);
        (is_role && is_account(account) && is_name(name)).then_some(role)
    }

    fn identity(&self) -> RoleIdentity {
        let Self {
            partition,
            account,
            name,
            ..
        } = self;
        let [partition, account, name] = [partition, account, name].map(|part| (*part).to_owned());
        (partition, account, name)
    }
}

impl Roles {
    /// Collects the roles among the entities of rules.
    pub(super) fn of<'a>(entities: impl Iterator<Item = &'a EntityUid>) -> Self {
        let mut roles = Self::default();
        for uid in entities.filter(|uid| uid.type_name().basename() == "Role") {
            roles.add(uid);
        }
        roles
    }

    fn add(&mut self, uid: &EntityUid) {
        if let Some(role) = Role::of_arn(uid.id().unescaped()) {
            let named = self.0.entry(role.identity()).or_default();
            if named.iter().all(|known| known.uid != *uid) {
                let (path, uid) = (role.path.to_owned(), uid.clone());
                named.push(RuleRole { path, uid });
            }
        }
    }

    /// Returns the roles of rules that match this role.
    pub(super) fn matching(&self, role: &Role<'_>) -> Vec<EntityUid> {
        let fits = |named: &&RuleRole| {
            named.path == role.path || named.path.is_empty() || role.path.is_empty()
        };
        let named = self.0.get(&role.identity()).into_iter().flatten();
        named.filter(fits).map(|named| named.uid.clone()).collect()
    }
}

/// Returns whether the text is an account id: twelve digits.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Returns whether the text is a valid name of a role: 1 to 64 letters, digits and `_+=,.@-` (IAM, CreateRole).
fn is_name(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_roles_are_parsed() {
        let parse = |arn: &'static str| {
            let role = Role::of_arn(arn)?;
            Some((role.partition, role.account, role.path, role.name))
        };
        let account = "111122223333";
        assert_eq!(
            parse("arn:aws:iam::111122223333:role/Orders"),
            Some(("aws", account, "", "Orders"))
        );
        assert_eq!(
            parse("arn:aws-cn:iam::111122223333:role/a/b/Orders"),
            Some(("aws-cn", account, "a/b", "Orders"))
        );
        for none in [
            "",
            "Orders",
            "arn:aws:iam::11112222333:role/Orders",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/team/",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::111122223333:role",
            "arn:aws:iam::111122223333:user/Orders",
            "arn:aws:iam:eu-west-1:111122223333:role/Orders",
            "arn:aws:sts::111122223333:assumed-role/Orders/i-0abc",
            "arn:aws:sts::111122223333:role/Orders",
            "arn:amazon:iam::111122223333:role/Orders",
            "arn::iam::111122223333:role/Orders",
        ] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    #[test]
    fn paths_must_be_equal_if_both_sides_have_one() {
        let role = |path: &str| format!("arn:aws:iam::111122223333:role{path}/Orders");
        let rules = |path: &str| {
            let uid: EntityUid = format!("Xks::Role::{:?}", role(path)).parse().unwrap();
            Roles::of([uid].iter())
        };
        for (rule, request, matches) in [
            ("", "", true),
            ("/team", "/team", true),
            ("/team", "", true),
            ("", "/team", true),
            ("/team", "/other", false),
            ("/team", "/team/sub", false),
        ] {
            let roles = rules(rule);
            let arn = role(request);
            let found = roles.matching(&Role::of_arn(&arn).unwrap());
            assert_eq!(!found.is_empty(), matches, "{rule:?} {request:?}");
        }
        let roles = rules("/team");
        let elsewhere = "arn:aws:iam::999922223333:role/team/Orders";
        assert!(roles.matching(&Role::of_arn(elsewhere).unwrap()).is_empty());
    }
}
