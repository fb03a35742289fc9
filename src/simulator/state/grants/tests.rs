//! The grantees, operations and constraints of grants.

use super::*;
use crate::simulator::policy::{
    ConfiguredValues, ContextKey, PolicyCaller, RequestDetails, role_of,
};
use crate::simulator::wire::names::{account_of, is_service};

const TABLE: &str = "arn:aws:dynamodb:eu-west-1:111122223333:table/t";
const OTHER_TABLE: &str = "arn:aws:dynamodb:eu-west-1:111122223333:table/t-2";
const BOB: &str = "arn:aws:iam::444455556666:role/bob";

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn grant(constraints: Option<Constraints>) -> Grant {
    Grant {
        id: "i".into(),
        token: "t".into(),
        name: None,
        created: 1.5,
        grantee: BOB.into(),
        retiring: None,
        issuer: "arn:aws:iam::111122223333:root".into(),
        operations: vec!["Encrypt".into(), "DescribeKey".into()],
        constraints,
    }
}

/// Returns how a grant matches a caller that requests an action.
fn match_of(
    grant: &Grant,
    caller: &str,
    action: &str,
    details: RequestDetails<'_>,
) -> PrincipalMatch {
    let is_service = is_service(caller);
    let none = ConfiguredValues::default();
    let configured = ConfiguredValues(vec![(
        ContextKey::parse("aws:SourceArn").unwrap(),
        TABLE.to_owned(),
    )]);
    grant.principal_match(&PolicyRequest {
        caller: PolicyCaller {
            principal: caller,
            arn: role_of(caller).map_or(caller.into(), Into::into),
            account: account_of(caller).unwrap_or_default(),
            region: "eu-west-1",
            is_service,
            tags: None,
            configured: if is_service { &configured } else { &none },
            source: None,
        },
        action,
        resource: "*",
        key: None,
        details,
    })
}

#[test]
fn a_grant_applies_to_its_grantee_and_operations() {
    let match_of = |caller: &str, action: &str| {
        let context = Pairs::new();
        let details = RequestDetails {
            encryption_context: Some(&context),
            ..RequestDetails::default()
        };
        match_of(&grant(None), caller, action, details)
    };
    assert_eq!(match_of(BOB, "Encrypt"), PrincipalMatch::Direct);
    assert_eq!(
        match_of("arn:aws:sts::444455556666:assumed-role/bob/s", "Encrypt"),
        PrincipalMatch::Direct
    );
    assert_eq!(match_of(BOB, "Decrypt"), PrincipalMatch::None);
    assert_eq!(
        match_of("arn:aws:iam::444455556666:role/eve", "Encrypt"),
        PrincipalMatch::None
    );
}

#[test]
fn a_grant_to_an_account_needs_an_identity_policy() {
    let mut grant = grant(None);
    grant.grantee = "arn:aws:iam::444455556666:root".into();
    assert_eq!(
        match_of(&grant, BOB, "DescribeKey", RequestDetails::default()),
        PrincipalMatch::Account
    );
    assert_eq!(
        match_of(
            &grant,
            &grant.grantee,
            "DescribeKey",
            RequestDetails::default()
        ),
        PrincipalMatch::Direct
    );
    grant.grantee = "*".into();
    assert_eq!(
        match_of(&grant, BOB, "DescribeKey", RequestDetails::default()),
        PrincipalMatch::None
    );
}

#[test]
fn a_service_needs_the_source_arn_of_the_grant() {
    let with_source = |source: &str| Grant {
        grantee: "dynamodb.amazonaws.com".into(),
        ..grant(Some(from(source)))
    };
    let match_of = |source: &str, caller: &str| {
        match_of(
            &with_source(source),
            caller,
            "DescribeKey",
            RequestDetails::default(),
        )
    };
    assert_eq!(
        match_of(TABLE, "dynamodb.amazonaws.com"),
        PrincipalMatch::Direct
    );
    assert_eq!(
        match_of(OTHER_TABLE, "dynamodb.amazonaws.com"),
        PrincipalMatch::None
    );
    assert_eq!(match_of(TABLE, "s3.amazonaws.com"), PrincipalMatch::None);
}

fn subset(of: &[(&str, &str)]) -> Constraints {
    Constraints {
        encryption_context_subset: Some(pairs(of)),
        ..Constraints::default()
    }
}

fn equals(to: &[(&str, &str)]) -> Constraints {
    Constraints {
        encryption_context_equals: Some(pairs(to)),
        ..Constraints::default()
    }
}

#[test]
fn constraints_limit_the_encryption_context() {
    let with = |constraints: Constraints, context: &[(&str, &str)], action: &str| {
        let context = pairs(context);
        let details = RequestDetails {
            encryption_context: Some(&context),
            ..RequestDetails::default()
        };
        match_of(&grant(Some(constraints)), BOB, action, details) == PrincipalMatch::Direct
    };
    for (constraints, context, action, expected) in [
        (
            subset(&[("a", "1")]),
            &[("a", "1"), ("b", "2")][..],
            "Encrypt",
            true,
        ),
        (subset(&[("A", "1")]), &[("a", "1")], "Encrypt", true),
        (subset(&[("a", "v")]), &[("a", "V")], "Encrypt", false),
        (subset(&[("a", "1")]), &[("a", "2")], "Encrypt", false),
        (subset(&[("a", "1")]), &[], "Encrypt", false),
        (equals(&[("a", "1")]), &[("a", "1")], "Encrypt", true),
        (
            equals(&[("a", "1")]),
            &[("a", "1"), ("b", "2")],
            "Encrypt",
            false,
        ),
        (
            equals(&[("a", "1"), ("A", "1")]),
            &[("a", "1"), ("b", "2")],
            "Encrypt",
            false,
        ),
        (subset(&[("a", "1")]), &[], "DescribeKey", true),
    ] {
        assert_eq!(
            with(constraints.clone(), context, action),
            expected,
            "{constraints:?} {context:?} {action}"
        );
    }
}

fn from(source: &str) -> Constraints {
    Constraints {
        source_arn: Some(source.into()),
        ..Constraints::default()
    }
}

#[test]
fn a_grant_permits_only_grants_as_strict_as_itself() {
    let may = |parent: Option<Constraints>, child: Option<Constraints>, operation: &str| {
        let mut parent = grant(parent);
        parent.operations.push("CreateGrant".into());
        let mut child = grant(child);
        child.operations = vec![operation.into()];
        let details = RequestDetails {
            grant: Some(child.properties()),
            ..RequestDetails::default()
        };
        parent.grantee = "dynamodb.amazonaws.com".into();
        match_of(&parent, &parent.grantee, "CreateGrant", details) == PrincipalMatch::Direct
    };
    let (one, two) = (&[("a", "1")], &[("a", "1"), ("b", "2")]);
    for (parent, child, expected) in [
        (None, None, true),
        (None, Some(subset(one)), true),
        (Some(subset(one)), None, false),
        (Some(subset(one)), Some(subset(two)), true),
        (Some(subset(two)), Some(subset(one)), false),
        (Some(subset(one)), Some(equals(two)), true),
        (Some(equals(one)), Some(equals(one)), true),
        (Some(equals(one)), Some(equals(two)), false),
        (Some(equals(one)), Some(subset(one)), false),
        (Some(from(TABLE)), Some(from(TABLE)), true),
        (Some(from(TABLE)), None, false),
        (Some(from(TABLE)), Some(from(OTHER_TABLE)), false),
        (None, Some(from(OTHER_TABLE)), true),
    ] {
        assert_eq!(
            may(parent.clone(), child.clone(), "Encrypt"),
            expected,
            "{parent:?} {child:?}"
        );
    }
    assert!(
        !may(None, None, "Decrypt"),
        "the parent does not have that operation"
    );
}

#[test]
fn absent_members_are_left_out() {
    let shown = grant(None).to_description("arn");
    assert!(shown.get("Name").is_none() && shown.get("Constraints").is_none());
    assert_eq!(shown["Operations"], json!(["Encrypt", "DescribeKey"]));
    assert_eq!(shown["GranteePrincipal"], BOB);
    assert!(shown.get("RetiringServicePrincipal").is_none());
    assert!(shown.get("Token").is_none() && shown.get("GrantToken").is_none());
}
