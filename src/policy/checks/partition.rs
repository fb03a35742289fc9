//! ARNs of partitions that no request of these key stores can come from: partitions know nothing of each other's principals and keys.

use std::collections::BTreeSet;

use crate::policy::principal::partition_of;
use crate::partitions::{PARTITIONS, Partition};

/// Returns why no request has this ARN, to follow a comma; none when one may have it. `regions` are those of the key stores.
pub(super) fn problem(arn: &str, regions: &BTreeSet<String>) -> Option<String> {
    let name = partition_of(arn)?;
    let Some(partition) = Partition::by_name(name) else {
        let known = PARTITIONS.map(|known| known.name).join(", ");
        return Some(format!(
            "whose partition {name:?} this version does not know; known are: {known}"
        ));
    };
    let of_stores = regions.iter().map(|region| Partition::of_region(region));
    // A Region that is not known may be of any partition.
    let of_stores: Option<BTreeSet<&str>> = of_stores.map(|known| Some(known?.name)).collect();
    let of_stores = of_stores.filter(|all| !all.is_empty() && !all.contains(partition.name))?;
    let of_stores = of_stores.into_iter().collect::<Vec<_>>().join(", ");
    Some(format!(
        "whose partition is {name:?}, but the Regions of the key stores are in {of_stores}"
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
                Some(what) => assert!(found.is_some_and(|found| found.contains(what)), "{name}"),
                None => assert_eq!(found, None, "{name}"),
            }
        }
        assert_eq!(
            problem("s3.amazonaws.com", &BTreeSet::from(["eu-west-1".into()])),
            None
        );
    }
}
