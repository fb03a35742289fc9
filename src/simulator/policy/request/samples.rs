//! Requests for tests: one with every condition key, and one with as few as possible.

use super::*;

struct SampleKey {
    tags: Pairs,
}

impl KeyProperties for SampleKey {
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

/// Tests a request with a value for every condition key that a session can have.
pub(in crate::simulator::policy) fn full(test: impl FnOnce(&PolicyRequest<'_>)) {
    let configured = [
        ("aws:CurrentTime", "2026-06-01T12:00:00Z"),
        ("aws:PrincipalOrgID", "o-1"),
        ("aws:SourceAccount", "111122223333"),
        ("aws:SourceArn", "arn:aws:s3:::bucket-1"),
        ("aws:SourceIp", "203.0.113.9"),
        ("aws:SourceVpc", "vpc-1"),
        ("aws:SourceVpce", "vpce-1"),
        ("kms:ViaService", "s3.eu-west-1.amazonaws.com"),
    ];
    let configured =
        configured.map(|(key, value)| (ContextKey::parse(key).unwrap(), value.to_owned()));
    let key = SampleKey {
        tags: pairs(&[("Project", "Alpha"), ("owner", "payments-1")]),
    };
    let (tags, context) = (pairs(&[("cost", "1")]), pairs(&[("Purpose", "test")]));
    let operations = ["Decrypt".to_owned()];
    test(&PolicyRequest {
        caller: PolicyCaller {
            principal: "arn:aws:sts::111122223333:assumed-role/app/s1",
            arn: "arn:aws:iam::111122223333:role/app".into(),
            account: "111122223333",
            region: "eu-west-1",
            is_service: false,
            tags: Some(&pairs(&[("Team", "payments"), ("star", "*")])),
            configured: &ConfiguredValues(configured.into()),
            source: None,
        },
        action: "CreateGrant",
        resource: "*",
        key: Some(&key),
        details: RequestDetails {
            encryption_context: Some(&context),
            alias: Some("alias/payments"),
            tags: Some(&tags),
            tag_keys: &[],
            grant: Some(GrantProperties {
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

fn bare<'a>(configured: &'a ConfiguredValues, tag_keys: &'a [String]) -> PolicyRequest<'a> {
    PolicyRequest {
        caller: PolicyCaller {
            principal: "s3.amazonaws.com",
            arn: "s3.amazonaws.com".into(),
            account: "000000000000",
            region: "eu-west-1",
            is_service: true,
            tags: None,
            configured,
            source: None,
        },
        action: "Encrypt",
        resource: "*",
        key: None,
        details: RequestDetails {
            tag_keys,
            ..RequestDetails::default()
        },
    }
}

/// Tests a request of a service without optional values.
pub(in crate::simulator::policy) fn empty(test: impl FnOnce(&PolicyRequest<'_>)) {
    test(&bare(&ConfiguredValues::default(), &[]));
}

/// Tests the same request with these values of `aws:TagKeys`.
pub(in crate::simulator::policy) fn with_tag_keys(
    tag_keys: &[String],
    test: impl FnOnce(&PolicyRequest<'_>),
) {
    test(&bare(&ConfiguredValues::default(), tag_keys));
}
