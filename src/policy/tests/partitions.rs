//! Sample policies and requests in each partition of AWS.

use super::*;

/// A partition, one of its Regions, and a DNS suffix of its services.
const PARTITIONS: [(&str, &str, &str); 5] = [
    ("aws", "eu-west-1", "amazonaws.com"),
    ("aws-us-gov", "us-gov-west-1", "amazonaws.com"),
    ("aws-eusc", "eusc-de-east-1", "amazonaws.eu"),
    ("aws-eusc", "eusc-de-east-1", "amazonaws.com"),
    ("aws-cn", "cn-north-1", "amazonaws.com.cn"),
];

const ROLE_THROUGH_S3: &str = include_str!("../../../config/policy/role-through-s3.cedar");

fn unknown_names(rules: &str, region: &str) -> usize {
    let mut names = Names::default();
    names.add_store("payments", region);
    names.add_key("payments", "ledger", [].into_iter(), [].into_iter());
    policy(rules, PolicyMode::Enforce)
        .unknown_names(&names)
        .len()
}

#[test]
fn a_sample_applies_in_its_partition_only() {
    for (partition, region, _) in PARTITIONS {
        let rules = ROLE_THROUGH_S3.replace("arn:aws:", &format!("arn:{partition}:"));
        assert_eq!(unknown_names(&rules, region), 0, "{partition}");
        let elsewhere = match partition {
            "aws" => "us-gov-east-1",
            _ => "us-east-1",
        };
        assert_eq!(unknown_names(&rules, elsewhere), 2, "{partition}");
    }
}

#[test]
fn a_role_through_a_service_is_permitted_in_every_partition() {
    for (partition, region, suffix) in PARTITIONS {
        let rules = ROLE_THROUGH_S3.replace("arn:aws:", &format!("arn:{partition}:"));
        let rules = rules.replace("payments/ledger", "payments/orders");
        let policy = policy(&rules, PolicyMode::Enforce);
        let permits = |partition: &str, via: &str| {
            let change = |m: &mut serde_json::Value| {
                let account = "111122223333";
                m["awsPrincipalArn"] = json!(format!(
                    "arn:{partition}:sts::{account}:assumed-role/Archive/s"
                ));
                m["kmsViaService"] = json!(via);
            };
            decide(&policy, change, Action::Decrypt).is_permitted()
        };
        for via in [
            "s3".to_owned(),
            format!("s3.{suffix}"),
            format!("s3.{region}.{suffix}"),
            format!("s3.uk-east-1.{suffix}"),
        ] {
            assert!(permits(partition, &via), "{partition} {via}");
        }
        for via in [
            format!("ebs.{region}.{suffix}"),
            format!("s3x.{suffix}"),
            format!("s3.{suffix}.example"),
        ] {
            assert!(!permits(partition, &via), "{partition} {via}");
        }
        assert!(!permits("aws-iso", "s3"), "{partition}");
    }
}

#[test]
fn a_service_principal_has_the_same_name_in_every_partition() {
    let rules = "permit(principal, action, resource) when { principal.kind == \"service\" && principal has name && principal.name == \"logs\" };";
    let policy = policy(rules, PolicyMode::Enforce);
    for (_, region, suffix) in PARTITIONS {
        for principal in [format!("logs.{suffix}"), format!("logs.{region}.{suffix}")] {
            let change = |m: &mut serde_json::Value| m["awsPrincipalArn"] = json!(principal);
            assert!(
                decide(&policy, change, Action::Encrypt).is_permitted(),
                "{principal}"
            );
        }
    }
}
