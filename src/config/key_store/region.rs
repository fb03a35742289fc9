//! Warnings about the Region of a key store. An unknown one is never an error: AWS adds Regions and partitions without notice.

use crate::partitions::Partition;

/// Returns a warning about a Region; `None` if the Region is known and KMS offers external key stores there.
pub(super) fn warning(region: &str) -> Option<String> {
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
    let problem = match zone != region && Partition::of_region(zone).is_some() {
        true => format!("is an availability zone; its region is {zone:?}"),
        false => "is not the name of a known AWS region, which look like \"eu-west-1\"".to_owned(),
    };
    format!("{region:?} {problem}. If the region is wrong, every request fails its signature check")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One region of each partition with external key stores, and the newest forms.
    #[test]
    fn known_regions_cause_no_warning() {
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
            assert_eq!(warning(region), None, "{region}");
        }
    }

    #[test]
    fn other_regions_cause_a_warning() {
        for (region, part) in [
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
            let warning = warning(region).unwrap_or_default();
            assert!(warning.contains(part), "{region}: {warning}");
        }
    }
}
