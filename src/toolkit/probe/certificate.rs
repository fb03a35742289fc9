//! Checks of the presented certificates: names, validity, and that each certificate is issued by the next one.

use std::time::{Duration, SystemTime};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::report::Check;
use crate::kms_certificate::covers;

/// AWS's suggested alarm: fewer days than this.
const DAYS_TO_WARN: i64 = 10;

/// The server's certificate is due for renewal when less than this fraction (1/n) of its lifetime is left.
const PART_TO_WARN: i64 = 3;

const RENEW: &str = "renew the certificate; the proxy loads new files without a restart (SIGHUP)";

/// The content of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its subject.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// The common names of its subject.
    pub common_names: Vec<String>,
    /// Its DNS names and IPv4 addresses.
    pub alternative_names: Vec<String>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
}

impl Facts {
    /// Parses a certificate; none if it is not valid DER.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject().iter_common_name();
        let validity = certificate.validity();
        Some(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            common_names: names
                .filter_map(|n| n.as_str().ok())
                .map(str::to_owned)
                .collect(),
            alternative_names: alternative_names(&certificate),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// Returns whether subject and issuer are the same.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    fn is_due(&self, now: i64) -> bool {
        let lifetime = self.not_after.saturating_sub(self.not_before);
        self.not_after.saturating_sub(now) < lifetime / PART_TO_WARN
    }

    /// Returns a time at which the certificate is valid: now if possible, or else its last second.
    pub fn valid_moment(&self, now: SystemTime) -> SystemTime {
        let seconds = unix_seconds(now).clamp(self.not_before, self.not_after - 1);
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension
        .map(|e| e.value.general_names.as_slice())
        .unwrap_or_default();
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress([a, b, c, d]) => Some(format!("{a}.{b}.{c}.{d}")),
        _ => None,
    };
    names.iter().filter_map(text).collect()
}

/// Checks the expiry of all certificates. The server's own is due when a third of its lifetime is left, as ACME clients renew it.
pub fn expiry(chain: &[Facts], now: SystemTime) -> Check {
    const NAME: &str = "expiry";
    let Some(first) = chain.iter().min_by_key(|facts| facts.not_after) else {
        return Check::skipped(NAME, "no certificate was presented");
    };
    let now = unix_seconds(now);
    if let Some(early) = chain.iter().find(|facts| facts.not_before > now) {
        let finding = format!("{} is not valid yet", early.subject);
        return Check::fail(
            NAME,
            finding,
            "wait, set the clock, or present a certificate that is valid now",
        );
    }
    let days = (first.not_after - now).div_euclid(86_400);
    match days {
        ..0 => Check::fail(
            NAME,
            format!("{} expired {} days ago", first.subject, -days),
            RENEW,
        ),
        0..DAYS_TO_WARN => Check::warn(
            NAME,
            format!("{} expires in {days} days", first.subject),
            RENEW,
        ),
        _ if chain.first().is_some_and(|leaf| leaf.is_due(now)) => Check::warn(
            NAME,
            format!(
                "less than a third of the server certificate's lifetime is left; the first certificate expires in {days} days"
            ),
            RENEW,
        ),
        _ => Check::ok(NAME, format!("{days} days left")),
    }
}

/// Checks that the server's certificate names the endpoint: in its alternative names, as TLS requires, and in its common name, as AWS requires.
pub fn name(leaf: &Facts, host: &str) -> Check {
    const NAME: &str = "name";
    let matching = leaf
        .alternative_names
        .iter()
        .find(|name| covers(name, host));
    let Some(found) = matching else {
        let finding = format!(
            "{host} is not one of its names: {}",
            leaf.alternative_names.join(", ")
        );
        return Check::fail(
            NAME,
            finding,
            "order a certificate whose subject alternative names contain the endpoint's DNS name",
        );
    };
    if !leaf.common_names.iter().any(|name| covers(name, host)) {
        let finding = format!(
            "{host} is an alternative name, but the common name is {}",
            leaf.common_names.join(", ")
        );
        return Check::fail(
            NAME,
            finding,
            "AWS requires a common name (CN) that is the endpoint's host name or *.parent: order a certificate with it; some ACME profiles omit it",
        );
    }
    match found.starts_with("*.") {
        true => Check::ok(
            NAME,
            format!(
                "{host} by the wildcard {found}: KMS accepts it, but CloudWatch then shows no XksProxyCertificateDaysToExpire; the owner of this key can impersonate any host of the domain"
            ),
        ),
        false => Check::ok(NAME, host),
    }
}

/// Returns the first certificate that the next one has not issued, with the next one.
pub fn first_gap(chain: &[Facts]) -> Option<(&Facts, &Facts)> {
    let pairs = chain.iter().zip(chain.iter().skip(1));
    pairs
        .into_iter()
        .find(|(facts, next)| facts.issuer != next.subject)
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::CheckResult;
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn facts(names: &[&str], days: i64) -> Facts {
        Facts {
            subject: "CN=leaf".into(),
            issuer: "CN=ca".into(),
            common_names: names.iter().take(1).map(ToString::to_string).collect(),
            alternative_names: names.iter().skip(1).map(ToString::to_string).collect(),
            not_before: NOW - 86_400,
            not_after: NOW + days * 86_400 + 5,
        }
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW as u64)
    }

    #[test]
    fn expiry_is_a_warning_when_renewal_is_due() {
        for (days, result) in [
            (-1, CheckResult::Fail),
            (0, CheckResult::Warn),
            (9, CheckResult::Warn),
            (10, CheckResult::Ok),
            (300, CheckResult::Ok),
        ] {
            let chain = [facts(&["a"], 400), facts(&["a"], days)];
            assert_eq!(expiry(&chain, now()).result, result, "{days}");
        }
        // A third of 31 days is ten and a third.
        for (days, result) in [(11, CheckResult::Ok), (10, CheckResult::Warn)] {
            let mut leaf = facts(&["a"], days);
            leaf.not_before = leaf.not_after - 31 * 86_400;
            assert_eq!(expiry(&[leaf], now()).result, result, "{days}");
        }
        let mut early = facts(&["a"], 400);
        early.not_before = NOW + 1;
        assert_eq!(expiry(&[early], now()).result, CheckResult::Fail);
        assert_eq!(expiry(&[], now()).result, CheckResult::Skipped);
    }

    #[test]
    fn names() {
        for (names, result) in [
            (&["xks.example.com", "xks.example.com"][..], CheckResult::Ok),
            (&["*.example.com", "*.Example.com"], CheckResult::Ok),
            (&["example.com", "xks.example.com"], CheckResult::Fail),
            (&["xks.example.com"], CheckResult::Fail),
            (&["xks.example.com", "*.xks.example.com"], CheckResult::Fail),
            (&["x", "*.com"], CheckResult::Fail),
        ] {
            assert_eq!(
                name(&facts(names, 1), "xks.example.com").result,
                result,
                "{names:?}"
            );
        }
    }

    #[test]
    fn a_chain_is_followed() {
        let (mut leaf, mut ca) = (facts(&["a"], 1), facts(&["a"], 1));
        ca.subject = "CN=ca".into();
        assert!(first_gap(&[leaf.clone(), ca.clone()]).is_none());
        leaf.issuer = "CN=other".into();
        assert!(first_gap(&[leaf.clone(), ca]).is_some());
        assert_eq!(leaf.valid_moment(now()), now());
        leaf.not_after = NOW - 50;
        assert!(leaf.valid_moment(now()) < now());
        assert!(Facts::read(b"no certificate").is_none());
    }
}
