//! Checks the server's certificate against the rules of AWS KMS. `identity` reads the file and checks that the key matches.
//!
//! At the start, the proxy serves a certificate with a problem too, because a wrong clock at boot must not end the process. A reload rejects it,
//! because KMS, or a monitoring rule of AWS, would not accept it: the previous certificate stays active.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::chain;
use super::problem::{CertificateProblem, ProblemKind};
use crate::kms_certificate;

/// The longest lifetime of a certificate in days, by the time from which it is valid (seconds since 1970): CA/Browser Forum, SC-081v3. No
/// certificate that is still valid can exceed an earlier limit.
const LIFETIME_LIMITS: [(i64, i64); 4] = [
    (1_598_918_400, 398), // 2020-09-01
    (1_773_532_800, 200), // 2026-03-15
    (1_805_068_800, 100), // 2027-03-15
    (1_868_227_200, 47),  // 2029-03-15
];

const SECONDS_PER_DAY: i64 = 86_400;

/// The result of the checks. It depends on the certificates only, except for the validity and the public names.
#[derive(Clone, Debug)]
pub(in crate::server) struct CertificateChecks {
    pub not_before: i64,
    pub not_after: i64,
    /// The common name, if there is exactly one.
    common_name: Option<String>,
    /// The problems that depend on the certificates only.
    permanent: Vec<CertificateProblem>,
    /// Findings with which KMS may still accept the certificate.
    pub warnings: Vec<String>,
}

impl CertificateChecks {
    /// Checks a chain in the order of its file.
    ///
    /// # Errors
    /// Returns an error text when one of the certificates cannot be parsed.
    pub(in crate::server) fn of(chain: &[CertificateDer<'_>]) -> Result<Self, String> {
        let parsed: Result<Vec<X509Certificate<'_>>, String> = chain.iter().map(parsed).collect();
        let parsed = parsed?;
        let leaf = parsed.first().ok_or("holds no PEM certificate")?;
        let (mut permanent, untrusted_root) = chain::check(&parsed, chain.last());
        permanent.extend(common_name(leaf));
        permanent.extend(extended_key_usage(leaf));
        let validity = leaf.validity();
        let (not_before, not_after) = (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        );
        let lifetime = excessive_lifetime(not_before, not_after);
        Ok(Self {
            not_before,
            not_after,
            common_name: only_common_name(leaf),
            permanent,
            warnings: lifetime.into_iter().chain(untrusted_root).collect(),
        })
    }

    /// Returns every problem at the time `now` (seconds since 1970), for a proxy that KMS calls by `public_names`.
    pub(in crate::server) fn problems(
        &self,
        now: i64,
        public_names: &[String],
    ) -> Vec<CertificateProblem> {
        let validity = match now {
            now if now > self.not_after => Some(ProblemKind::Expired.problem(format!(
                "expired {}; renew it, or correct this machine's clock",
                days(now - self.not_after, "ago")
            ))),
            now if now < self.not_before => Some(ProblemKind::NotYetValid.problem(format!(
                "becomes valid {}; wait, or correct this machine's clock",
                days(self.not_before - now, "from now")
            ))),
            _ => None,
        };
        validity
            .into_iter()
            .chain(self.permanent.iter().cloned())
            .chain(self.uncovered(public_names))
            .collect()
    }

    /// Returns a problem if the CN does not cover a public name. AWS requires that the CN is the endpoint's host name, or a wildcard for it.
    fn uncovered(&self, public_names: &[String]) -> Option<CertificateProblem> {
        // A missing common name is a problem that `common_name` reports.
        let name = self.common_name.as_deref()?;
        let uncovered = |host: &&String| !kms_certificate::covers(name, host);
        let missing: Vec<&str> = public_names
            .iter()
            .filter(uncovered)
            .map(String::as_str)
            .collect();
        (!missing.is_empty()).then(|| {
            let missing = missing.join(", ");
            ProblemKind::PublicNames.problem(format!(
                "has the common name (CN) {name:?}, which does not cover {missing} of server.public_names; KMS requires the endpoint's host name or *.parent as CN"
            ))
        })
    }
}

fn parsed<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match parse_x509_certificate(der) {
        Ok((_, parsed)) => Ok(parsed),
        Err(error) => Err(format!("is not an X.509 certificate: {error}")),
    }
}

fn days(seconds: i64, direction: &str) -> String {
    match seconds / SECONDS_PER_DAY {
        0 => format!("{seconds} seconds {direction}"),
        1 => format!("1 day {direction}"),
        days => format!("{days} days {direction}"),
    }
}

fn only_common_name(leaf: &X509Certificate<'_>) -> Option<String> {
    let mut names = leaf.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    names.next().is_none().then(|| name.to_owned())
}

/// Checks that there is one common name and that it is also a subject alternative name. AWS requires that the CN is the endpoint's host name;
/// CloudWatch uses it as a dimension. [`CertificateChecks::problems`] compares it with the public names.
fn common_name(leaf: &X509Certificate<'_>) -> Option<CertificateProblem> {
    let kind = ProblemKind::CommonName;
    let names: Vec<_> = leaf.subject().iter_common_name().collect();
    let [name] = *names.as_slice() else {
        let problem = match names.is_empty() {
            true => {
                "has no common name (CN); KMS requires one: renew it with a CA profile that sets the CN"
            }
            false => "has several common names (CN); KMS requires exactly one",
        };
        return Some(kind.problem(problem));
    };
    let Ok(name) = name.as_str() else {
        return Some(kind.problem("has a common name (CN) that is not text"));
    };
    let is_alternative = alternative_names(leaf)
        .iter()
        .any(|alternative| alternative.eq_ignore_ascii_case(name));
    (!is_alternative).then(|| {
        kind.problem(format!(
            "has the common name (CN) {name:?}, which is not one of its subject alternative names; KMS requires both"
        ))
    })
}

fn alternative_names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or(v6).ok()
}

fn extended_key_usage(leaf: &X509Certificate<'_>) -> Option<CertificateProblem> {
    let is_for_servers = match leaf.extended_key_usage() {
        Ok(Some(usage)) => usage.value.server_auth || usage.value.any,
        _ => false,
    };
    (!is_for_servers).then(|| {
        let problem =
            "has no extended key usage serverAuth; order a certificate for a server (TLS web server authentication)";
        ProblemKind::ExtendedKeyUsage.problem(problem)
    })
}

/// Returns a warning if the certificate is valid for longer than public CAs may issue.
fn excessive_lifetime(not_before: i64, not_after: i64) -> Option<String> {
    let limits = LIFETIME_LIMITS.iter().rev();
    let (_, limit) = limits.copied().find(|(since, _)| not_before >= *since)?;
    let seconds = not_after.saturating_sub(not_before);
    (seconds > limit * SECONDS_PER_DAY).then(|| {
        let days = seconds / SECONDS_PER_DAY;
        format!(
            "is valid for {days} days, but public CAs may issue it for at most {limit} days; KMS accepts public CAs only"
        )
    })
}

#[cfg(test)]
mod tests;
