//! The rules of CreateCustomKeyStore that need no connection: endpoint, path and credential.

use super::report::Check;
use crate::partitions::Partition;
use crate::sigv4::CredentialError;

/// Lengths of `XksProxyUriEndpoint` and `XksProxyUriPath` (AWS KMS API, CreateCustomKeyStore).
const LENGTHS: std::ops::RangeInclusive<usize> = 10..=128;

/// The end of every path.
const API_ROOT: &str = "/kms/xks/v1";

/// Checks for `https://` and a DNS name, nothing else. KMS connects to port 443.
pub fn endpoint(host: &str, port: u16) -> Check {
    const NAME: &str = "endpoint";
    let uri = format!("https://{host}");
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    if !host.bytes().all(legal) || !LENGTHS.contains(&uri.len()) {
        let finding = format!("{uri} is not an endpoint that KMS accepts");
        return Check::fail(
            NAME,
            finding,
            "XksProxyUriEndpoint is https:// and a DNS name of letters, digits, '.' and '-', 10 to 128 characters in total",
        );
    }
    if host.parse::<std::net::Ipv4Addr>().is_ok() {
        let finding = format!("{host} is an IP address, not a name");
        return Check::warn(
            NAME,
            finding,
            "give the proxy a DNS name: its certificate must contain the name",
        );
    }
    match port {
        443 => Check::ok(NAME, uri),
        _ => Check::warn(
            NAME,
            format!("{uri}, probed on port {port}"),
            "KMS always connects to port 443",
        ),
    }
}

/// Checks for an optional prefix, then `/kms/xks/v1`.
pub fn path(path: &str) -> Check {
    const NAME: &str = "path";
    let fault = path_fault(path);
    match fault {
        None => Check::ok(NAME, path),
        Some(fault) => Check::fail(
            NAME,
            format!("{path:?} {fault}"),
            "XksProxyUriPath is an optional prefix of A-Z, a-z, 0-9, '/', '_' and '-', then /kms/xks/v1, at most 128 characters",
        ),
    }
}

fn path_fault(path: &str) -> Option<&'static str> {
    let Some(prefix) = path.strip_suffix(API_ROOT) else {
        return Some("does not end with /kms/xks/v1");
    };
    crate::xks::PathPrefix::parse(prefix).err()
}

/// Checks for a Region with external key stores, as far as this version has the list.
pub fn region(region: &str) -> Check {
    const NAME: &str = "Region";
    match Partition::of_region(region) {
        Some(partition) if partition.lacks_external_key_stores => Check::warn(
            NAME,
            format!("{region}, partition {}", partition.name),
            "AWS KMS does not offer external key stores in this partition: choose another Region",
        ),
        Some(partition) => Check::ok(NAME, format!("{region}, partition {}", partition.name)),
        None => Check::warn(
            NAME,
            format!("{region:?} is not a Region in this version's list"),
            "compare --region with the Region of the store; a new Region works if it is written correctly",
        ),
    }
}

/// Checks the forms of access key id and secret.
pub fn credential(fault: Option<CredentialError>) -> Check {
    const NAME: &str = "credential form";
    match fault {
        None => Check::ok(
            NAME,
            "access key id and secret have the form that KMS requires",
        ),
        Some(fault @ CredentialError::AccessKeyId) => Check::fail(
            NAME,
            fault.to_string(),
            "create a new credential: xks-proxy credential new",
        ),
        Some(fault @ CredentialError::Secret) => Check::fail(
            NAME,
            fault.to_string(),
            "create a new credential (xks-proxy credential new); a line end in the secret's file is ignored",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn endpoints() {
        let verdict = |host: &str, port| endpoint(host, port).verdict;
        assert_eq!(verdict("xks.example.com", 443), Verdict::Ok);
        assert_eq!(verdict("xks.example.com", 8443), Verdict::Warn);
        assert_eq!(verdict("192.0.2.1", 443), Verdict::Warn);
        for bad in ["", "a", "xks_proxy.example.com", "[::1]", &"a".repeat(121)] {
            assert_eq!(verdict(bad, 443), Verdict::Fail, "{bad}");
        }
    }

    #[test]
    fn regions() {
        for (name, verdict, finding) in [
            ("eu-west-1", Verdict::Ok, "eu-west-1, partition aws"),
            ("us-gov-west-1", Verdict::Ok, "partition aws-us-gov"),
            ("eusc-de-east-1", Verdict::Ok, "partition aws-eusc"),
            ("cn-north-1", Verdict::Warn, "partition aws-cn"),
            (
                "uk-east-1",
                Verdict::Warn,
                "not a Region in this version's list",
            ),
        ] {
            let check = region(name);
            assert_eq!(check.verdict, verdict, "{name}");
            assert!(check.finding.contains(finding), "{check:?}");
        }
    }

    #[test]
    fn paths() {
        for good in ["/kms/xks/v1", "/payments/kms/xks/v1", "/a/b_c-D/kms/xks/v1"] {
            assert_eq!(path(good).verdict, Verdict::Ok, "{good}");
        }
        let too_long = format!("/{}/kms/xks/v1", "p".repeat(120));
        for bad in [
            "",
            "/",
            "/payments",
            "/payments/kms/xks/v1/",
            "payments/kms/xks/v1",
            "/a.b/kms/xks/v1",
            "//kms/xks/v1",
            &too_long,
        ] {
            assert_eq!(path(bad).verdict, Verdict::Fail, "{bad}");
        }
    }

    #[test]
    fn a_credentials_fault_never_shows_it() {
        assert_eq!(credential(None).verdict, Verdict::Ok);
        for fault in [CredentialError::AccessKeyId, CredentialError::Secret] {
            assert_eq!(credential(Some(fault)).verdict, Verdict::Fail);
        }
    }
}
