//! Warnings about the Region of a key store. An unknown one is never an error: AWS adds Regions and partitions without notice.

use crate::partitions::Partition;

/// Returns a warning about a Region; none when it is known and KMS may have external key stores there.
pub(super) fn remark(region: &str) -> Option<String> {
    match Partition::of_region(region) {
        Some(partition) if partition.lacks_external_key_stores => Some(format!(
            "{region:?} is in the partition {}, where AWS KMS does not offer external key stores",
            partition.name
        )),
        Some(_) => None,
        None => Some(unknown(region)),
    }
}

fn unknown(region: &str) -> String {
    let zone = region.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let what = match zone != region && Partition::of_region(zone).is_some() {
        true => format!("is an availability zone; its region is {zone:?}"),
        false => "is not the name of a known AWS region, which look like \"eu-west-1\"".to_owned(),
    };
    format!("{region:?} {what}. If the region is wrong, every request fails its signature check")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One region of each partition with external key stores, and the newest forms.
    #[test]
    fn known_regions_are_not_remarked_upon() {
        for region in [
            "eu-west-1",
            "ap-southeast-7",
            "il-central-1",
            "mx-central-1",
            "us-gov-west-1",
            "eusc-de-east-1",
            "us-iso-east-1",
            "us-isob-east-1",
            "eu-isoe-west-1",
            "us-east-10",
        ] {
            assert_eq!(remark(region), None, "{region}");
        }
    }

    #[test]
    fn others_are_remarked_upon() {
        for (region, what) in [
            (
                "cn-northwest-1",
                "partition aws-cn, where AWS KMS does not offer external key stores",
            ),
            ("euwest", "not the name of a known AWS region"),
            ("us-east-1a", "its region is \"us-east-1\""),
            ("us-gov-west-1b", "its region is \"us-gov-west-1\""),
            ("uk-east-1", "not the name of a known"),
            ("eu-west", "not the name of a known"),
            ("eu--1", "not the name of a known"),
            ("eu-west-", "not the name of a known"),
            ("-1", "not the name of a known"),
            ("x", "not the name of a known"),
            ("1-2-3", "not the name of a known"),
        ] {
            let said = remark(region).unwrap_or_default();
            assert!(said.contains(what), "{region}: {said}");
        }
    }
}
