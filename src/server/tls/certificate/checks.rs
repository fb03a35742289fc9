//! The checks of the server's certificate, beyond that it can be read and that the key belongs to it.
//!
//! A certificate with a problem could be served, and is at the start: a wrong clock at boot must not end the process. But KMS, or a monitoring
//! rule of AWS, would not accept it, so no reload puts it in the place of one that serves.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::chain;
use super::problem::{CertificateProblem, ProblemKind};
use crate::kms_certificate;

/// The most days that a certificate may live, by the moment from which it is valid (seconds since 1970): CA/Browser Forum, SC-081v3. Before
/// these there was no limit that a valid certificate could exceed today.
const LIFETIME_LIMITS: [(i64, i64); 4] = [
    (1_598_918_400, 398), // 2020-09-01
    (1_773_532_800, 200), // 2026-03-15
    (1_805_068_800, 100), // 2027-03-15
    (1_868_227_200, 47),  // 2029-03-15
];

const SECONDS_PER_DAY: i64 = 86_400;

/// The result of the checks. All but the validity and the public names depend on the certificates alone.
#[derive(Clone, Debug)]
pub(in crate::server) struct Checked {
    pub not_before: i64,
    pub not_after: i64,
    /// The common name, if there is exactly one.
    common_name: Option<String>,
    lasting: Vec<CertificateProblem>,
    /// Findings that may not keep KMS from accepting it.
    pub warnings: Vec<String>,
}

impl Checked {
    /// Checks a chain as it is in the file.
    ///
    /// # Errors
    /// When one of the certificates cannot be parsed.
    pub(in crate::server) fn of(chain: &[CertificateDer<'_>]) -> Result<Self, String> {
        let parsed: Result<Vec<X509Certificate<'_>>, String> = chain.iter().map(parsed).collect();
        let parsed = parsed?;
        let leaf = parsed.first().ok_or("holds no PEM certificate")?;
        let (mut lasting, unknown_end) = chain::check(&parsed, chain.last());
        lasting.extend(common_name(leaf));
        lasting.extend(extended_key_usage(leaf));
        let validity = leaf.validity();
        let (not_before, not_after) = (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        );
        let lifetime = too_long(not_before, not_after);
        Ok(Self {
            not_before,
            not_after,
            common_name: only_common_name(leaf),
            lasting,
            warnings: lifetime.into_iter().chain(unknown_end).collect(),
        })
    }

    /// Returns every problem at this moment, in seconds since 1970, for a proxy that KMS calls by these names.
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
            .chain(self.lasting.iter().cloned())
            .chain(self.uncovered(public_names))
            .collect()
    }

    /// AWS requires that the CN is the host name of the endpoint, or a wildcard for it.
    fn uncovered(&self, public_names: &[String]) -> Option<CertificateProblem> {
        // Without a common name there is already a problem.
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

/// AWS requires that the CN is the endpoint's host name; CloudWatch uses it as a dimension. [`Checked::problems`] compares it with the names that
/// KMS calls.
fn common_name(leaf: &X509Certificate<'_>) -> Option<CertificateProblem> {
    let kind = ProblemKind::CommonName;
    let names: Vec<_> = leaf.subject().iter_common_name().collect();
    let [name] = *names.as_slice() else {
        let what = match names.is_empty() {
            true => {
                "has no common name (CN); KMS requires one: renew it with a CA profile that sets the CN"
            }
            false => "has several common names (CN); KMS requires exactly one",
        };
        return Some(kind.problem(what));
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
        let what =
            "has no extended key usage serverAuth; order a certificate for a server (TLS web server authentication)";
        ProblemKind::ExtendedKeyUsage.problem(what)
    })
}

fn too_long(not_before: i64, not_after: i64) -> Option<String> {
    let limits = LIFETIME_LIMITS.iter().rev();
    let (_, limit) = limits.copied().find(|(since, _)| not_before >= *since)?;
    let seconds = not_after.saturating_sub(not_before);
    (seconds > limit * SECONDS_PER_DAY).then(|| {
        let days = seconds / SECONDS_PER_DAY;
        format!(
            "is valid for {days} days, but a public CA may issue it for {limit} days only; KMS accepts public CAs only"
        )
    })
}

#[cfg(test)]
mod tests;
