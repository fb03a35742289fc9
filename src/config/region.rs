//! Names of AWS regions. An unknown one is never an error: AWS adds regions and partitions without notice.

/// What regions of the known partitions begin with (botocore, `partitions.json`); a direction and a number follow.
const AREAS: [&str; 17] = [
    "us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx",      // aws
    "us-gov",  // aws-us-gov
    "cn",      // aws-cn
    "eusc-de", // aws-eusc
    "us-iso", "us-isob", "us-isof", "eu-isoe", // air-gapped
    "eu-isob",
];

/// Returns a warning about a region; none when it has the form of a known one.
pub(super) fn remark(region: &str) -> Option<String> {
    if is_plausible(region) {
        return None;
    }
    let zone = region.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let what = match zone != region && is_plausible(zone) {
        true => format!("is an availability zone; its region is {zone:?}"),
        false => "is not the name of a known AWS region, which look like \"eu-west-1\"".to_owned(),
    };
    Some(format!(
        "{region:?} {what}. If the region is wrong, every request fails its signature check"
    ))
}

/// The form of the regions in `AREAS`, such as `us-gov-west-1`.
fn is_plausible(region: &str) -> bool {
    let parts = region.rsplit_once('-').and_then(|(rest, number)| {
        let (area, direction) = rest.rsplit_once('-')?;
        Some((area, direction, number))
    });
    parts.is_some_and(|(area, direction, number)| {
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let is_word = !direction.is_empty() && direction.bytes().all(|b| b.is_ascii_lowercase());
        AREAS.contains(&area) && is_word && is_number
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One region of each partition, and the newest forms.
    #[test]
    fn regions_of_every_partition_are_plausible() {
        for region in [
            "eu-west-1",
            "ap-southeast-7",
            "il-central-1",
            "mx-central-1",
            "us-gov-west-1",
            "cn-northwest-1",
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
