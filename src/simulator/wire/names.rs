//! ARNs of keys, aliases and principals, and the names of services.

use crate::partitions::{PARTITIONS, Partition, iam_arn};

/// Returns the partition in the ARNs of a Region. An unknown Region is in `aws`, because AWS adds Regions without notice.
pub(in crate::simulator) fn of_region(region: &str) -> &'static str {
    known(region).map_or("aws", |partition| partition.name)
}

/// Returns the DNS suffixes of services in all partitions.
pub(in crate::simulator) fn dns_suffixes() -> impl Iterator<Item = &'static str> {
    let partitions = PARTITIONS.iter();
    partitions.flat_map(|partition| partition.dns_suffixes.iter().copied())
}

/// Returns the prefix of the names of VPC endpoint services in a Region, up to the id. The KMS API has no such names for `aws-cn`.
pub(in crate::simulator) fn endpoint_service_prefix(region: &str) -> Option<String> {
    let prefix = known(region)?.endpoint_service_prefix?;
    Some(format!("{prefix}{region}."))
}

fn known(region: &str) -> Option<&'static Partition> {
    Partition::of_region(region).or_else(|| Partition::by_name("aws"))
}

/// Returns the ARN of the root user of an account.
pub(in crate::simulator) fn root_arn(region: &str, account: &str) -> String {
    iam_arn(region, account, "root")
}

/// Returns the ARN of a key.
pub(in crate::simulator) fn key_arn(account: &str, region: &str, id: &str) -> String {
    format!("arn:{}:kms:{region}:{account}:key/{id}", of_region(region))
}

/// Returns the ARN of an alias. Its name begins with `alias/`.
pub(in crate::simulator) fn alias_arn(account: &str, region: &str, name: &str) -> String {
    format!("arn:{}:kms:{region}:{account}:{name}", of_region(region))
}

/// Returns the account in the ARN of a principal; none if it is not such an ARN.
pub(in crate::simulator) fn account_of(arn: &str) -> Option<&str> {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let &["arn", partition, service, "", account, resource] = parts.as_slice() else {
        return None;
    };
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let is_resource = match service {
        "iam" => {
            resource == "root" || resource.starts_with("user/") || resource.starts_with("role/")
        }
        "sts" => resource.starts_with("assumed-role/") || resource.starts_with("federated-user/"),
        _ => false,
    };
    (partition.starts_with("aws") && is_account && is_resource).then_some(account)
}

/// Returns whether a name is that of a service, such as `s3.amazonaws.com`.
pub(in crate::simulator) fn is_service(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_of = |suffix| {
        name.strip_suffix(suffix)
            .is_some_and(|service| service.ends_with('.'))
    };
    name.len() <= 128 && name.split('.').all(is_label) && dns_suffixes().any(is_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_region_has_its_partition() {
        for (region, name, service) in [
            ("eu-west-1", "aws", Some("com.amazonaws.vpce.eu-west-1.")),
            (
                "us-gov-west-1",
                "aws-us-gov",
                Some("com.amazonaws.vpce.us-gov-west-1."),
            ),
            (
                "eusc-de-east-1",
                "aws-eusc",
                Some("eu.amazonaws.vpce.eusc-de-east-1."),
            ),
            ("cn-north-1", "aws-cn", None),
            ("us-isob-east-1", "aws-iso-b", None),
            ("xx-north-1", "aws", Some("com.amazonaws.vpce.xx-north-1.")),
        ] {
            assert_eq!(of_region(region), name);
            assert_eq!(endpoint_service_prefix(region).as_deref(), service);
        }
        assert_eq!(
            root_arn("cn-north-1", "111122223333"),
            "arn:aws-cn:iam::111122223333:root"
        );
    }

    #[test]
    fn services_have_the_suffix_of_a_partition() {
        for name in [
            "dynamodb.amazonaws.com",
            "logs.cn-north-1.amazonaws.com.cn",
            "s3.amazonaws.eu",
            "s3.sc2s.sgov.gov",
        ] {
            assert!(is_service(name), "{name}");
        }
        for name in [
            "",
            "amazonaws.com",
            ".amazonaws.com",
            "s3.amazonaws.com.example",
            "s3.notamazonaws.com",
            "a.b.c",
            "s3..amazonaws.com",
        ] {
            assert!(!is_service(name), "{name}");
        }
    }
}
