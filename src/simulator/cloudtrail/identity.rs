//! The `userIdentity` of a record, in the forms of CloudTrail for users, roles, services and other accounts.

use serde_json::{Value, json};

use crate::simulator::callers::caller::KmsCaller;

/// Returns the `userIdentity` of a caller for the account `recipient`. `invoked_by` is the service that acts for the caller.
pub(super) fn user_identity(
    caller: &KmsCaller,
    recipient: &str,
    invoked_by: Option<&str>,
) -> Value {
    let mut identity = match caller.account == recipient {
        true => own_identity(caller),
        // CloudTrail does not reveal the names of principals to other accounts.
        false => json!({
            "type": "AWSAccount",
            "principalId": principal_id("AIDA", &caller.principal),
            "accountId": caller.account,
        }),
    };
    if let (Some(service), Some(members)) = (invoked_by, identity.as_object_mut()) {
        members.insert("invokedBy".to_owned(), json!(service));
    }
    identity
}

fn own_identity(caller: &KmsCaller) -> Value {
    let KmsCaller {
        account, principal, ..
    } = caller;
    let parts: Vec<_> = principal.splitn(6, ':').collect();
    let &["arn", partition, _, _, _, resource] = parts.as_slice() else {
        return json!({ "type": "AWSService", "invokedBy": principal });
    };
    let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
    match kind {
        "user" => json!({
            "type": "IAMUser",
            "principalId": principal_id("AIDA", principal),
            "arn": principal,
            "accountId": account,
            "accessKeyId": principal_id("AKIA", principal),
            "userName": last_part(name),
        }),
        "role" => session_identity(caller, partition, name, "kms-simulator"),
        "assumed-role" => {
            let (role, session) = name.split_once('/').unwrap_or((name, ""));
            session_identity(caller, partition, role, session)
        }
        "federated-user" => json!({
            "type": "FederatedUser",
            "principalId": format!("{account}:{name}"),
            "arn": principal,
            "accountId": account,
            "accessKeyId": principal_id("ASIA", principal),
        }),
        _ => json!({
            "type": "Root",
            "principalId": account,
            "arn": principal,
            "accountId": account,
        }),
    }
}

/// Returns the identity of a session. `role` may have a path; the ARN of the session does not have it.
fn session_identity(caller: &KmsCaller, partition: &str, role: &str, session: &str) -> Value {
    let account = &caller.account;
    let issuer = format!("arn:{partition}:iam::{account}:role/{role}");
    let id = principal_id("AROA", &issuer);
    let name = last_part(role);
    json!({
        "type": "AssumedRole",
        "principalId": format!("{id}:{session}"),
        "arn": format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session}"),
        "accountId": account,
        "accessKeyId": principal_id("ASIA", &caller.principal),
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": id,
                "arn": issuer,
                "accountId": account,
                "userName": name,
            },
            "attributes": { "mfaAuthenticated": "false" },
        },
    })
}

fn last_part(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Returns an id in the form of AWS. It is always the same for a principal.
fn principal_id(prefix: &str, principal: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = Sha256::digest(principal.as_bytes());
    let letter = |byte: &u8| {
        letters
            .get(usize::from(byte & 31))
            .map(|byte| char::from(*byte))
    };
    let id: String = digest.iter().take(16).filter_map(letter).collect();
    format!("{prefix}{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::callers::principals::CallerProperties;

    fn identity(principal: &str) -> Value {
        recorded_identity(principal, "111122223333", None)
    }

    fn recorded_identity(principal: &str, recipient: &str, invoked_by: Option<&str>) -> Value {
        let caller = KmsCaller {
            account: "111122223333".into(),
            region: "eu-west-1".into(),
            principal: principal.into(),
            is_authenticated: true,
            properties: CallerProperties::default(),
        };
        user_identity(&caller, recipient, invoked_by)
    }

    #[test]
    fn each_kind_of_principal_has_its_form() {
        let root = identity("arn:aws:iam::111122223333:root");
        assert_eq!(
            (&root["type"], &root["principalId"]),
            (&json!("Root"), &json!("111122223333"))
        );
        let user = identity("arn:aws:iam::111122223333:user/team/Alice");
        assert_eq!(
            (&user["type"], &user["userName"]),
            (&json!("IAMUser"), &json!("Alice"))
        );
        assert_eq!(user["arn"], "arn:aws:iam::111122223333:user/team/Alice");
        let federated = identity("arn:aws:sts::111122223333:federated-user/Bob");
        assert_eq!(federated["type"], "FederatedUser");
        let service = identity("s3.amazonaws.com");
        assert_eq!(
            service,
            json!({ "type": "AWSService", "invokedBy": "s3.amazonaws.com" })
        );
    }

    #[test]
    fn a_session_names_its_role() {
        for principal in [
            "arn:aws-cn:sts::111122223333:assumed-role/Admin/kms-simulator",
            "arn:aws-cn:iam::111122223333:role/Admin",
        ] {
            let role = identity(principal);
            assert_eq!(role["type"], "AssumedRole");
            assert_eq!(
                role["arn"],
                "arn:aws-cn:sts::111122223333:assumed-role/Admin/kms-simulator"
            );
            let issuer = &role["sessionContext"]["sessionIssuer"];
            assert_eq!(issuer["arn"], "arn:aws-cn:iam::111122223333:role/Admin");
            let id = issuer["principalId"].as_str().unwrap();
            assert_eq!(role["principalId"], format!("{id}:kms-simulator"));
        }
        let issuer = &identity("arn:aws:iam::111122223333:role/team/Admin")["sessionContext"];
        assert_eq!(
            issuer["sessionIssuer"]["arn"],
            "arn:aws:iam::111122223333:role/team/Admin"
        );
    }

    #[test]
    fn other_accounts_see_only_the_account_of_the_caller() {
        let other = recorded_identity("arn:aws:iam::111122223333:user/Alice", "444455556666", None);
        assert_eq!(
            (&other["type"], &other["accountId"]),
            (&json!("AWSAccount"), &json!("111122223333"))
        );
        assert!(other.get("arn").is_none());
        let via = recorded_identity(
            "arn:aws:iam::111122223333:user/Alice",
            "111122223333",
            Some("s3.amazonaws.com"),
        );
        assert_eq!(
            (&via["type"], &via["invokedBy"]),
            (&json!("IAMUser"), &json!("s3.amazonaws.com"))
        );
    }
}
