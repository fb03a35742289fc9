//! Names that contain a Region or a DNS suffix: services, service principals and ARNs.

use super::table::{PARTITIONS, Partition, has_region_form};

/// Returns the name of a service without DNS suffix and Region: `s3` for `s3.eu-west-1.amazonaws.com`, `s3.amazonaws.com` and `s3`.
///
/// Removes the longest known suffix, which begins at a label, and then a last label that is a Region. A text with an unknown suffix is
/// not changed. The name is empty only if the text is empty.
pub fn service_name(text: &str) -> &str {
    without_region(without_suffix(text).unwrap_or(text))
}

/// Returns the service of a service principal, such as `s3` for `s3.amazonaws.com`; none if the text has no known suffix.
pub fn service_principal(text: &str) -> Option<&str> {
    without_suffix(text).map(without_region)
}

/// Returns the possible names of KMS for an external key store in this Region, the most likely one first. A name is the subject of the
/// client certificate and the principal that a VPC endpoint service allows. Empty if the Region is unknown.
pub fn kms_service_principals(region: &str) -> Vec<String> {
    let partition = Partition::of_region(region);
    let suffixes = partition.map_or(&[][..], |partition| partition.dns_suffixes);
    let name = |suffix: &&str| format!("cks.kms.{region}.{suffix}");
    suffixes.iter().map(name).collect()
}

/// Returns the ARN of a KMS key in this Region. The partition is `aws` if the Region is unknown.
pub fn kms_key_arn(region: &str, account: &str, id: &str) -> String {
    let partition = partition_name(region);
    format!("arn:{partition}:kms:{region}:{account}:key/{id}")
}

/// Returns the ARN of an IAM resource, such as `user/alice`, in the partition of this Region. The partition is `aws` if the Region is
/// unknown.
pub fn iam_arn(region: &str, account: &str, resource: &str) -> String {
    let partition = partition_name(region);
    format!("arn:{partition}:iam::{account}:{resource}")
}

fn partition_name(region: &str) -> &'static str {
    Partition::of_region(region).map_or("aws", |partition| partition.name)
}

fn without_suffix(text: &str) -> Option<&str> {
    let suffixes = PARTITIONS.iter().flat_map(|known| known.dns_suffixes);
    let cut = |suffix: &&str| text.strip_suffix(suffix)?.strip_suffix('.');
    // The longest suffix leaves the shortest rest.
    let rests = suffixes.filter_map(cut).filter(|rest| !rest.is_empty());
    rests.min_by_key(|rest| rest.len())
}

fn without_region(text: &str) -> &str {
    match text.rsplit_once('.') {
        Some((rest, region)) if has_region_form(region) && !rest.is_empty() => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn services_are_named_without_region_and_suffix() {
        for (text, service) in [
            ("s3", "s3"),
            ("s3.amazonaws.com", "s3"),
            ("s3.eu-west-1.amazonaws.com", "s3"),
            ("s3.us-gov-west-1.amazonaws.com", "s3"),
            ("s3.cn-north-1.amazonaws.com.cn", "s3"),
            ("s3.cn-north-1.amazonaws.com", "s3"),
            ("s3.eusc-de-east-1.amazonaws.eu", "s3"),
            ("s3.eusc-de-east-1.amazonaws.com", "s3"),
            ("s3.us-iso-east-1.c2s.ic.gov", "s3"),
            // A Region that does not exist yet.
            ("s3.uk-east-1.amazonaws.com", "s3"),
            ("s3.eu-west-1", "s3"),
            ("delivery.logs.amazonaws.com", "delivery.logs"),
            ("delivery.logs.eu-west-1.amazonaws.com", "delivery.logs"),
            (
                "autoscaling.us-east-1.s3.amazonaws.com",
                "autoscaling.us-east-1.s3",
            ),
            // The suffix does not begin at a label.
            ("s3amazonaws.com", "s3amazonaws.com"),
            ("s3.notamazonaws.com", "s3.notamazonaws.com"),
            ("s3.amazonaws.com.example", "s3.amazonaws.com.example"),
            // The name would be empty.
            ("", ""),
            (".amazonaws.com", ".amazonaws.com"),
            ("amazonaws.com", "amazonaws.com"),
            ("eu-west-1.amazonaws.com", "eu-west-1"),
            (".eu-west-1.amazonaws.com", ".eu-west-1"),
        ] {
            assert_eq!(service_name(text), service, "{text}");
        }
    }

    #[test]
    fn a_principal_is_a_service_by_its_suffix() {
        for (text, service) in [
            ("s3.amazonaws.com", Some("s3")),
            ("logs.eu-west-1.amazonaws.com", Some("logs")),
            ("s3.amazonaws.com.cn", Some("s3")),
            ("s3.amazonaws.eu", Some("s3")),
            ("s3", None),
            ("s3.eu-west-1", None),
            ("", None),
            (".amazonaws.com", None),
            ("arn:aws:iam::111122223333:user/Alice", None),
        ] {
            assert_eq!(service_principal(text), service, "{text}");
        }
    }

    #[test]
    fn names_of_kms_have_the_region_and_the_suffix() {
        let eusc = [
            "cks.kms.eusc-de-east-1.amazonaws.eu",
            "cks.kms.eusc-de-east-1.amazonaws.com",
        ];
        assert_eq!(kms_service_principals("eusc-de-east-1"), eusc);
        let gov = ["cks.kms.us-gov-west-1.amazonaws.com"];
        assert_eq!(kms_service_principals("us-gov-west-1"), gov);
        assert!(kms_service_principals("uk-east-1").is_empty());
    }

    #[test]
    fn arns_are_in_the_partition_of_the_region() {
        let key = kms_key_arn("cn-north-1", "111122223333", "k");
        assert_eq!(key, "arn:aws-cn:kms:cn-north-1:111122223333:key/k");
        let user = iam_arn("eusc-de-east-1", "111122223333", "user/alice");
        assert_eq!(user, "arn:aws-eusc:iam::111122223333:user/alice");
        let unknown = iam_arn("uk-east-1", "111122223333", "root");
        assert_eq!(unknown, "arn:aws:iam::111122223333:root");
    }

    fn suffix() -> impl Strategy<Value = &'static str> {
        let suffixes = PARTITIONS.iter().flat_map(|known| known.dns_suffixes);
        prop::sample::select(suffixes.copied().collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn every_form_of_a_service_has_the_same_name(
            service in "[a-z][a-z0-9]{0,8}(-[a-z]{1,8})?(\\.[a-z]{1,8})?",
            region in "[a-z]{2,4}(-[a-z]{2,4})?-[a-z]{4,9}-[1-9]",
            suffix in suffix(),
        ) {
            for text in [
                service.clone(),
                format!("{service}.{suffix}"),
                format!("{service}.{region}"),
                format!("{service}.{region}.{suffix}"),
            ] {
                prop_assert_eq!(service_name(&text), &service);
                let is_principal = text.ends_with(suffix);
                let expected = is_principal.then_some(&*service);
                prop_assert_eq!(service_principal(&text), expected);
            }
        }

        #[test]
        fn a_service_name_is_a_prefix_of_the_text(text in ".{0,40}(\\.[a-z]{2}-[a-z]{2,9}-[0-9])?(\\.amazonaws\\.(com|eu))?(\\.cn)?") {
            let name = service_name(&text);
            prop_assert!(text.starts_with(name));
            prop_assert_eq!(name.is_empty(), text.is_empty());
        }
    }
}
