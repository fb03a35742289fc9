//! The table of partitions, and the forms of their names and Regions.

/// A partition of AWS. Principals, keys and services exist in one partition only.
#[derive(Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its name in ARNs, such as `aws-cn`.
    pub name: &'static str,
    /// The prefixes of its Regions. A direction and a number follow.
    areas: &'static [&'static str],
    /// The DNS suffixes of its services, without a leading dot. The first one is the suffix of endpoints.
    pub dns_suffixes: &'static [&'static str],
    /// The prefix of the names of its VPC endpoint services; none if it is not known.
    pub endpoint_service_prefix: Option<&'static str>,
    /// True if AWS documents that KMS has no external key stores in the partition.
    pub lacks_external_key_stores: bool,
}

/// Every known partition.
pub const PARTITIONS: [Partition; 8] = [
    Partition {
        areas: &["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"],
        endpoint_service_prefix: Some("com.amazonaws.vpce."),
        ..Partition::of("aws", &["amazonaws.com"])
    },
    Partition {
        areas: &["us-gov"],
        endpoint_service_prefix: Some("com.amazonaws.vpce."),
        ..Partition::of("aws-us-gov", &["amazonaws.com"])
    },
    Partition {
        areas: &["eusc-de"],
        endpoint_service_prefix: Some("eu.amazonaws.vpce."),
        // AWS does not document the suffix of its service principals.
        ..Partition::of("aws-eusc", &["amazonaws.eu", "amazonaws.com"])
    },
    Partition {
        areas: &["cn"],
        lacks_external_key_stores: true,
        ..Partition::of("aws-cn", &["amazonaws.com.cn", "amazonaws.com"])
    },
    Partition {
        areas: &["us-iso"],
        ..Partition::of("aws-iso", &["c2s.ic.gov", "amazonaws.com"])
    },
    Partition {
        areas: &["us-isob"],
        ..Partition::of("aws-iso-b", &["sc2s.sgov.gov", "amazonaws.com"])
    },
    Partition {
        areas: &["eu-isoe"],
        ..Partition::of("aws-iso-e", &["cloud.adc-e.uk", "amazonaws.com"])
    },
    Partition {
        areas: &["us-isof"],
        ..Partition::of("aws-iso-f", &["csp.hci.ic.gov", "amazonaws.com"])
    },
];

impl Partition {
    const fn of(name: &'static str, dns_suffixes: &'static [&'static str]) -> Self {
        Self {
            name,
            areas: &[],
            dns_suffixes,
            endpoint_service_prefix: None,
            lacks_external_key_stores: false,
        }
    }

    /// Returns the partition with this name in ARNs; none if it is unknown.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        PARTITIONS.iter().find(|partition| partition.name == name)
    }

    /// Returns the partition of a Region; none if it is unknown.
    pub fn of_region(region: &str) -> Option<&'static Self> {
        let (rest, number) = region.rsplit_once('-')?;
        let (area, direction) = rest.rsplit_once('-')?;
        let has_area = |partition: &&Self| partition.areas.contains(&area);
        (is_word(direction) && is_number(number))
            .then(|| PARTITIONS.iter().find(has_area))
            .flatten()
    }
}

/// Returns whether `text` has the form of a partition name, known or not: `aws[a-z-]*`.
pub fn has_partition_form(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b == b'-';
    text.strip_prefix("aws")
        .is_some_and(|rest| rest.bytes().all(legal))
}

/// Returns whether `text` has the form of a Region, known or not: two or three words and a number, such as `us-gov-west-1`. The KMS API
/// requires this form in the names of VPC endpoint services.
pub fn has_region_form(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').take(5).collect();
    let Some((number, words)) = parts.split_last() else {
        return false;
    };
    (2..=3).contains(&words.len()) && words.iter().all(|word| is_word(word)) && is_number(number)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Regions of each partition that botocore lists.
    const REGIONS: [(&str, &[&str]); 8] = [
        (
            "aws",
            &[
                "us-east-1",
                "eu-west-1",
                "ap-southeast-7",
                "il-central-1",
                "mx-central-1",
                "us-east-10",
            ],
        ),
        ("aws-us-gov", &["us-gov-west-1", "us-gov-east-1"]),
        ("aws-eusc", &["eusc-de-east-1"]),
        ("aws-cn", &["cn-north-1", "cn-northwest-1"]),
        ("aws-iso", &["us-iso-east-1", "us-iso-west-1"]),
        ("aws-iso-b", &["us-isob-east-1"]),
        ("aws-iso-e", &["eu-isoe-west-1"]),
        ("aws-iso-f", &["us-isof-south-1"]),
    ];

    #[test]
    fn every_region_is_in_its_partition() {
        assert_eq!(REGIONS.len(), PARTITIONS.len());
        for (name, regions) in REGIONS {
            assert_eq!(Partition::by_name(name).map(|found| found.name), Some(name));
            assert!(has_partition_form(name));
            for region in regions {
                let found = Partition::of_region(region).map(|found| found.name);
                assert_eq!(found, Some(name), "{region}");
                assert!(has_region_form(region), "{region}");
            }
        }
    }

    #[test]
    fn other_names_are_unknown() {
        for region in [
            "",
            "euwest",
            "us-east-1a",
            "uk-east-1",
            "eu-west",
            "eu--1",
            "eu-west-",
            "-1",
            "aws-global",
            "EU-west-1",
        ] {
            assert_eq!(Partition::of_region(region), None, "{region}");
        }
        assert!(has_region_form("uk-east-1"), "a Region of tomorrow");
        for none in ["", "aw", "AWS", "aws_cn", "aws1", "xaws", "aws-cn "] {
            assert!(!has_partition_form(none), "{none:?}");
        }
        for none in [
            "s3",
            "s3-1",
            "us-gov-iso-b-1",
            "eu-west-1a",
            "1-2-3",
            "eu-west",
        ] {
            assert!(!has_region_form(none), "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn each_region_has_one_partition(area in 0..PARTITIONS.len(), word in "[a-z]{1,12}", number in 0..1000u32) {
            let partition = &PARTITIONS[area];
            for area in partition.areas {
                let region = format!("{area}-{word}-{number}");
                prop_assert_eq!(Partition::of_region(&region), Some(partition));
                prop_assert!(has_region_form(&region));
            }
        }

        #[test]
        fn every_text_is_handled(text in ".{0,60}") {
            let is_known = Partition::of_region(&text).is_some();
            prop_assert!(!is_known || has_region_form(&text));
            let is_partition = Partition::by_name(&text).is_some();
            prop_assert!(!is_partition || has_partition_form(&text));
        }
    }
}
