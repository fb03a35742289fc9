//! Texts that match the patterns of the KMS API, and texts that do not.

use super::*;

#[track_caller]
fn assert_forms(check: impl Fn(&str) -> Result<(), Exception>, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(check(text).is_ok(), "{text}");
    }
    for text in bad {
        assert!(check(text).is_err(), "{text}");
    }
}

#[test]
fn endpoints_have_no_port_and_no_path() {
    assert_forms(
        check_endpoint,
        &[
            "https://a.example",
            "https://Proxy-1.example.com",
            "https://ab",
        ],
        &[
            "",
            "https://",
            "https://a",
            "http://a.example",
            "https://a.example:443",
            "https://a.example/",
            "https://a_b.example",
            "https://ä.example",
            &format!("https://{}", "a".repeat(121)),
        ],
    );
}

#[test]
fn paths_end_with_a_version_of_the_api() {
    let path = "/kms/xks/v1";
    assert_forms(
        check_path,
        &[
            path,
            "/kms/xks/v10",
            "/a/kms/xks/v1",
            "/a_1/B-2/kms/xks/v1",
            "//kms/xks/v1/kms/xks/v2",
        ],
        &[
            "",
            "/a",
            "a/kms/xks/v1",
            "/kms/xks/v",
            "/kms/xks/v100",
            "/a/kms/xks/v1/",
            "/a.b/kms/xks/v1",
            "//kms/xks/v1",
            &format!("/{}{path}", "p".repeat(117)),
        ],
    );
}

#[test]
fn endpoint_service_names_have_two_top_level_domains() {
    assert_forms(
        check_service_name,
        &[
            "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0",
            "com.amazonaws.vpce.us-gov-west-1.vpce-svc-0a",
            "eu.amazonaws.vpce.eusc-de-east-1.vpce-svc-0a",
        ],
        &[
            "com.amazonaws.something",
            "cn.com.amazonaws.vpce.cn-north-1.vpce-svc-0123456789abcdef0",
            "com.amazonaws.vpce.eu-west.vpce-svc-0a",
            "com.amazonaws.vpce.west-1.vpce-svc-0a",
            "com.amazonaws.vpce.a-b-c-d-1.vpce-svc-0a",
            "com.amazonaws.vpce.eu-west-1.vpce-svc-",
            "com.amazonaws.vpce.eu-west-1.vpce-svc-0A",
            "com.amazonaws.vpce.eu-west-1.vpce-0a",
            "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0123456789abcdef",
        ],
    );
}

#[test]
fn accounts_and_external_key_ids_have_patterns() {
    let account = |text: &str| check_account(text, "owner");
    assert_forms(
        account,
        &["111122223333"],
        &["", "11112222333", "1111222233334", "11112222333a"],
    );
    assert_forms(
        check_xks_key_id,
        &["a", "a-b_c.d", &"k".repeat(128)],
        &["", "a b", "a/b", "ä", &"k".repeat(129)],
    );
}

#[test]
fn service_principals_and_source_arns_have_patterns() {
    let service = |text: &str| check_service_principal(text, "granteeServicePrincipal");
    assert_forms(
        service,
        &[
            "s3.amazonaws.com",
            "logs.eu-west-1.amazonaws.com",
            "x.amazonaws.com.cn",
            "a.b.c",
        ],
        &[
            "",
            "s3",
            "amazonaws.com",
            "s3..com",
            "s3.amazonaws.com.",
            "s_3.amazonaws.com",
            "arn:aws:iam::1:root",
        ],
    );
    assert_forms(
        check_source_arn,
        &[
            "arn:aws:s3:eu-west-1:111122223333:bucket/a",
            "arn:aws-cn:logs::111122223333:log-group:*",
        ],
        &[
            "",
            "arn:aws:s3:::bucket-of-nobody",
            "arn:aws:s3:eu-west-1:11112222333:b",
            "arn:aws:s3:eu-west-1:111122223333:",
            "arn:aws::eu-west-1:111122223333:b",
            "arn:AWS:s3:eu-west-1:111122223333:b",
            "urn:aws:s3:eu-west-1:111122223333:b",
        ],
    );
}
