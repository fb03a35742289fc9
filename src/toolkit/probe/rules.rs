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
    let error = path_error(path);
    match error {
        None => Check::ok(NAME, path),
        Some(error) => Check::fail(
            NAME,
            format!("{path:?} {error}"),
            "XksProxyUriPath is an optional prefix of A-Z, a-z, 0-9, '/', '_' and '-', then /kms/xks/v1, at most 128 characters",
        ),
    }
}

fn path_error(path: &str) -> Option<&'static str> {
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
pub fn credential(error: Option<CredentialError>) -> Check {
    const NAME: &str = "credential form";
    match error {
        None => Check::ok(
            NAME,
            "access key id and secret have the form that KMS requires",
        ),
        Some(error @ CredentialError::AccessKeyId) => Check::fail(
            NAME,
            error.to_string(),
            "create a new credential: xks-proxy credential new",
        ),
        Some(error @ CredentialError::Secret) => Check::fail(
            NAME,
            error.to_string(),
            "create a new credential (xks-proxy credential new); a line end in the secret's file is ignored",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::CheckResult;
    use super::*;

    #[test]
    fn endpoints() {
        let result = |host: &str, port| endpoint(host, port).result;
        assert_eq!(result("xks.example.com", 443), CheckResult::Ok);
        assert_eq!(result("xks.example.com", 8443), CheckResult::Warn);
        assert_eq!(result("192.0.2.1", 443), CheckResult::Warn);
        for bad in ["", "a", "xks_proxy.example.com", "[::1]", &"a".repeat(121)] {
            assert_eq!(result(bad, 443), CheckResult::Fail, "{bad}");
        }
    }

    #[test]
    fn regions() {
        for (name, result, finding) in [
            ("eu-west-1", CheckResult::Ok, "eu-west-1, partition aws"),
            ("us-gov-west-1", CheckResult::Ok, "partition aws-us-gov"),
            ("eusc-de-east-1", CheckResult::Ok, "partition aws-eusc"),
            ("cn-north-1", CheckResult::Warn, "partition aws-cn"),
            (
                "uk-east-1",
                CheckResult::Warn,
                "not a Region in this version's list",
            ),
        ] {
            let check = region(name);
            assert_eq!(check.result, result, "{name}");
            assert!(check.finding.contains(finding), "{check:?}");
        }
    }

    #[test]
    fn paths() {
        for good in ["/kms/xks/v1", "/payments/kms/xks/v1", "/a/b_c-D/kms/xks/v1"] {
            assert_eq!(path(good).result, CheckResult::Ok, "{good}");
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
            assert_eq!(path(bad).result, CheckResult::Fail, "{bad}");
        }
    }

    #[test]
    fn a_credential_error_does_not_show_the_secret() {
        assert_eq!(credential(None).result, CheckResult::Ok);
        for error in [CredentialError::AccessKeyId, CredentialError::Secret] {
            assert_eq!(credential(Some(error)).result, CheckResult::Fail);
        }
    }
}
