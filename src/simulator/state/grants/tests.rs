//! Whom a grant is for, and what its constraints look at.

use super::*;
use crate::simulator::policy::{ContextKey, Details, Given, Who, role_of};
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

/// How a grant reaches a caller who asks for an action.
fn reached(grant: &Grant, who: &str, action: &str, details: Details<'_>) -> Reach {
    let is_service = is_service(who);
    let none = Given::default();
    let given = Given(vec![(
        ContextKey::parse("aws:SourceArn").unwrap(),
        TABLE.to_owned(),
    )]);
    grant.reach(&Request {
        who: Who {
            principal: who,
            arn: role_of(who).map_or(who.into(), Into::into),
            account: account_of(who).unwrap_or_default(),
            region: "eu-west-1",
            is_service,
            tags: None,
            given: if is_service { &given } else { &none },
            source: None,
        },
        action,
        resource: "*",
        key: None,
        details,
    })
}

#[test]
fn a_grant_is_for_its_grantee_and_operations() {
    let reached = |who: &str, what: &str| {
        let context = Pairs::new();
        let details = Details {
            encryption_context: Some(&context),
            ..Details::default()
        };
        reached(&grant(None), who, what, details)
    };
    assert_eq!(reached(BOB, "Encrypt"), Reach::Direct);
    assert_eq!(
        reached("arn:aws:sts::444455556666:assumed-role/bob/s", "Encrypt"),
        Reach::Direct
    );
    assert_eq!(reached(BOB, "Decrypt"), Reach::No);
    assert_eq!(
        reached("arn:aws:iam::444455556666:role/eve", "Encrypt"),
        Reach::No
    );
}

#[test]
fn a_grant_to_an_account_leaves_it_to_identity_policies() {
    let mut grant = grant(None);
    grant.grantee = "arn:aws:iam::444455556666:root".into();
    assert_eq!(
        reached(&grant, BOB, "DescribeKey", Details::default()),
        Reach::Account
    );
    assert_eq!(
        reached(&grant, &grant.grantee, "DescribeKey", Details::default()),
        Reach::Direct
    );
    grant.grantee = "*".into();
    assert_eq!(
        reached(&grant, BOB, "DescribeKey", Details::default()),
        Reach::No
    );
}

#[test]
fn a_service_uses_a_grant_on_behalf_of_its_source_only() {
    let of = |source: &str| Grant {
        grantee: "dynamodb.amazonaws.com".into(),
        ..grant(Some(from(source)))
    };
    let reached =
        |source: &str, who: &str| reached(&of(source), who, "DescribeKey", Details::default());
    assert_eq!(reached(TABLE, "dynamodb.amazonaws.com"), Reach::Direct);
    assert_eq!(reached(OTHER_TABLE, "dynamodb.amazonaws.com"), Reach::No);
    assert_eq!(reached(TABLE, "s3.amazonaws.com"), Reach::No);
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
fn constraints_look_at_the_context() {
    let with = |constraints: Constraints, context: &[(&str, &str)], what: &str| {
        let context = pairs(context);
        let details = Details {
            encryption_context: Some(&context),
            ..Details::default()
        };
        reached(&grant(Some(constraints)), BOB, what, details) == Reach::Direct
    };
    for (constraints, context, action, does) in [
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
            does,
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
fn a_grant_that_is_created_by_a_grant_is_as_strict() {
    let may = |parent: Option<Constraints>, child: Option<Constraints>, operation: &str| {
        let mut parent = grant(parent);
        parent.operations.push("CreateGrant".into());
        let mut child = grant(child);
        child.operations = vec![operation.into()];
        let details = Details {
            grant: Some(child.facts()),
            ..Details::default()
        };
        parent.grantee = "dynamodb.amazonaws.com".into();
        reached(&parent, &parent.grantee, "CreateGrant", details) == Reach::Direct
    };
    let (one, two) = (&[("a", "1")], &[("a", "1"), ("b", "2")]);
    for (parent, child, does) in [
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
            does,
            "{parent:?} {child:?}"
        );
    }
    assert!(
        !may(None, None, "Decrypt"),
        "the parent does not have that operation"
    );
}

#[test]
fn what_is_not_there_is_not_shown() {
    let shown = grant(None).described("arn");
    assert!(shown.get("Name").is_none() && shown.get("Constraints").is_none());
    assert_eq!(shown["Operations"], json!(["Encrypt", "DescribeKey"]));
    assert_eq!(shown["GranteePrincipal"], BOB);
    assert!(shown.get("RetiringServicePrincipal").is_none());
    assert!(shown.get("Token").is_none() && shown.get("GrantToken").is_none());
}
