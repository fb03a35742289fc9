//! Requests for tests: one that has every condition key, and one that has next to none.

use super::*;

struct Sample {
    tags: Pairs,
}

impl KeyFacts for Sample {
    fn account(&self) -> &str {
        "111122223333"
    }

    fn tags(&self) -> &Pairs {
        &self.tags
    }

    fn aliases(&self) -> Vec<&str> {
        vec!["alias/payments", "alias/other"]
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// A request with a value for every condition key that a session can have.
pub(in crate::simulator::policy) fn full(test: impl FnOnce(&Request<'_>)) {
    let given = [
        ("aws:CurrentTime", "2026-06-01T12:00:00Z"),
        ("aws:PrincipalOrgID", "o-1"),
        ("aws:SourceAccount", "111122223333"),
        ("aws:SourceArn", "arn:aws:s3:::bucket-1"),
        ("aws:SourceIp", "203.0.113.9"),
        ("aws:SourceVpc", "vpc-1"),
        ("aws:SourceVpce", "vpce-1"),
        ("kms:ViaService", "s3.eu-west-1.amazonaws.com"),
    ];
    let given = given.map(|(key, value)| (Key::parse(key).unwrap(), value.to_owned()));
    let key = Sample {
        tags: pairs(&[("Project", "Alpha"), ("owner", "payments-1")]),
    };
    let (tags, context) = (pairs(&[("cost", "1")]), pairs(&[("Purpose", "test")]));
    let operations = ["Decrypt".to_owned()];
    test(&Request {
        who: Who {
            principal: "arn:aws:sts::111122223333:assumed-role/app/s1",
            arn: "arn:aws:iam::111122223333:role/app".into(),
            account: "111122223333",
            region: "eu-west-1",
            is_service: false,
            tags: Some(&pairs(&[("Team", "payments"), ("star", "*")])),
            given: &Given(given.into()),
            source: None,
        },
        action: "CreateGrant",
        resource: "*",
        key: Some(&key),
        details: Details {
            encryption_context: Some(&context),
            alias: Some("alias/payments"),
            tags: Some(&tags),
            tag_keys: &[],
            grant: Some(GrantFacts {
                operations: &operations,
                grantee: "arn:aws:iam::111122223333:role/bob",
                retiring: Some("arn:aws:iam::111122223333:user/eve"),
                equals: Some(&context),
                subset: None,
                source_arn: None,
            }),
            window_in_days: Some(14),
            bypasses_lockout_check: Some(true),
            is_new_key: false,
        },
    });
}

fn bare<'a>(given: &'a Given, tag_keys: &'a [String]) -> Request<'a> {
    Request {
        who: Who {
            principal: "s3.amazonaws.com",
            arn: "s3.amazonaws.com".into(),
            account: "000000000000",
            region: "eu-west-1",
            is_service: true,
            tags: None,
            given,
            source: None,
        },
        action: "Encrypt",
        resource: "*",
        key: None,
        details: Details {
            tag_keys,
            ..Details::default()
        },
    }
}

/// A request of a service with nothing that can be left out.
pub(in crate::simulator::policy) fn empty(test: impl FnOnce(&Request<'_>)) {
    test(&bare(&Given::default(), &[]));
}

/// The same with these values of `aws:TagKeys`.
pub(in crate::simulator::policy) fn with_tag_keys(
    tag_keys: &[String],
    test: impl FnOnce(&Request<'_>),
) {
    test(&bare(&Given::default(), tag_keys));
}
