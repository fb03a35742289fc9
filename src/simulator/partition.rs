//! The AWS partition of a Region: the second part of ARNs, and the beginning of the names of VPC endpoint services.

/// The partition in the ARNs of a Region. A Region of an unknown form is in `aws`: AWS adds Regions without notice.
pub(super) fn of_region(region: &str) -> &'static str {
    let partitions = [
        ("us-gov-", "aws-us-gov"),
        ("eusc-", "aws-eusc"),
        ("cn-", "aws-cn"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
    ];
    let mut known = partitions.into_iter();
    known
        .find(|(prefix, _)| region.starts_with(prefix))
        .map_or("aws", |(_, name)| name)
}

/// What the names of services end with, in all partitions.
pub(super) const DNS_SUFFIXES: [&str; 7] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
    "sc2s.sgov.gov",
];

/// What the names of VPC endpoint services in a Region begin with, up to their id. The KMS API has no name for those of `aws-cn`.
pub(super) fn endpoint_service_prefix(region: &str) -> Option<String> {
    let top = match of_region(region) {
        "aws" | "aws-us-gov" => "com",
        "aws-eusc" => "eu",
        _ => return None,
    };
    Some(format!("{top}.amazonaws.vpce.{region}."))
}

/// The account itself as a principal.
pub(super) fn root_arn(region: &str, account: &str) -> String {
    format!("arn:{}:iam::{account}:root", of_region(region))
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
