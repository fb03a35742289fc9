//! The AWS partition of a Region: the second part of ARNs, and the beginning of the names of VPC endpoint services.

use crate::partitions::{PARTITIONS, Partition, iam_arn};

/// The name of the partition in the ARNs of a Region. An unknown Region is in `aws`: AWS adds Regions without notice.
pub(super) fn of_region(region: &str) -> &'static str {
    known(region).map_or("aws", |partition| partition.name)
}

/// The DNS suffixes of services, in all partitions.
pub(super) fn dns_suffixes() -> impl Iterator<Item = &'static str> {
    let partitions = PARTITIONS.iter();
    partitions.flat_map(|partition| partition.dns_suffixes.iter().copied())
}

/// What the names of VPC endpoint services in a Region begin with, up to their id. The KMS API has no name for those of `aws-cn`.
pub(super) fn endpoint_service_prefix(region: &str) -> Option<String> {
    let prefix = known(region)?.endpoint_service_prefix?;
    Some(format!("{prefix}{region}."))
}

fn known(region: &str) -> Option<&'static Partition> {
    Partition::of_region(region).or_else(|| Partition::by_name("aws"))
}

/// The account itself as a principal.
pub(super) fn root_arn(region: &str, account: &str) -> String {
    iam_arn(region, account, "root")
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
}
