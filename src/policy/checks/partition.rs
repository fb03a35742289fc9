//! ARNs of other partitions. Partitions of AWS are separate, so no request for these key stores can have such an ARN.

use std::collections::BTreeSet;

use crate::partitions::{PARTITIONS, Partition};
use crate::policy::principal::partition_of;

/// Returns why no request can have this ARN, as text that follows a comma. None when a request can have it. `regions` are the Regions of the
/// key stores.
pub(super) fn problem(arn: &str, regions: &BTreeSet<String>) -> Option<String> {
    let name = partition_of(arn)?;
    let Some(partition) = Partition::by_name(name) else {
        let known = PARTITIONS.map(|known| known.name).join(", ");
        return Some(format!(
            "whose partition {name:?} this version does not know; known are: {known}"
        ));
    };
    let used = regions.iter().map(|region| Partition::of_region(region));
    // An unknown Region can be in any partition.
    let used: Option<BTreeSet<&str>> = used.map(|known| Some(known?.name)).collect();
    let used = used.filter(|all| !all.is_empty() && !all.contains(partition.name))?;
    let used = used.into_iter().collect::<Vec<_>>().join(", ");
    Some(format!(
        "whose partition is {name:?}, but the Regions of the key stores are in {used}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_of_the_partition_of_a_store() {
        for (name, regions, expected) in [
            ("aws", &["eu-west-1"][..], None),
            ("aws", &["cn-north-1", "eu-west-1"], None),
            ("aws", &[], None),
            ("aws", &["uk-east-1"], None),
            ("aws", &["cn-north-1", "uk-east-1"], None),
            ("aws-us-gov", &["us-gov-west-1"], None),
            ("aws-eusc", &["eusc-de-east-1"], None),
            ("aws-cn", &["cn-north-1"], None),
            ("aws", &["us-gov-east-1"], Some("are in aws-us-gov")),
            ("aws-us-gov", &["us-east-1"], Some("are in aws")),
            (
                "aws-cn",
                &["us-east-1", "eusc-de-east-1"],
                Some("are in aws, aws-eusc"),
            ),
            (
                "aws-gov",
                &["us-gov-west-1"],
                Some("does not know; known are: aws, "),
            ),
        ] {
            let arn = format!("arn:{name}:iam::111122223333:role/Orders");
            let regions = regions.iter().map(|region| (*region).to_owned()).collect();
            let found = problem(&arn, &regions);
            match expected {
                Some(part) => assert!(found.is_some_and(|found| found.contains(part)), "{name}"),
                None => assert_eq!(found, None, "{name}"),
            }
        }
        assert_eq!(
            problem("s3.amazonaws.com", &BTreeSet::from(["eu-west-1".into()])),
            None
        );
    }
}
