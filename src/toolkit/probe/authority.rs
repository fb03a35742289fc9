//! Checks that the presented chain is complete, and that KMS trusts its root.

use std::time::SystemTime;

use super::certificate::{Facts, first_gap};
use super::report::Check;
use super::trust::TrustedRoots;
use crate::client::verify_chain;
use crate::kms_certificate;

const ACTION: &str =
    "KMS trusts only the authorities of AWS's list: order the certificate from one of them";

/// The roots to which a chain may lead.
pub struct Anchors<'a> {
    /// The roots that KMS trusts.
    pub accepted: Vec<Vec<u8>>,
    /// Other roots of this machine, for a better finding.
    pub known: Vec<Vec<u8>>,
    /// A list of the operator that replaces the built-in list.
    pub trusted: Option<&'a TrustedRoots>,
    /// True if the operator gave additional authorities.
    pub has_given: bool,
}

/// Returns the checks of a chain that leads to an accepted root: chain and authority.
pub fn complete(
    presented: &[Vec<u8>],
    facts: &[Facts],
    anchors: &Anchors<'_>,
    at: SystemTime,
) -> (Check, Check) {
    let chain = Check::ok("chain", format!("{} certificates, complete", facts.len()));
    let root = top_issuer(facts);
    let authority = match anchors.trusted {
        Some(trusted) => Check::ok(
            "authority",
            format!("{root}, one of the {} trusted roots", trusted.len()),
        ),
        None => compare_with_aws_list(presented, facts, anchors, at),
    };
    (chain, authority)
}

/// Compares the root with the built-in copy of AWS's list.
fn compare_with_aws_list(
    presented: &[Vec<u8>],
    facts: &[Facts],
    anchors: &Anchors<'_>,
    at: SystemTime,
) -> Check {
    const NAME: &str = "authority";
    let root = top_issuer(facts);
    let known = anchors.accepted.iter().chain(&anchors.known);
    let listed: Vec<Vec<u8>> = known
        .filter(|der| kms_certificate::is_root(der))
        .cloned()
        .collect();
    if verify_chain(presented, &listed, at).is_ok() {
        return Check::ok(NAME, format!("{root}, in AWS's list of trusted CAs"));
    }
    let finding = format!("{root} is not in this build's copy of AWS's list of trusted CAs");
    match anchors.has_given {
        true => Check::warn(
            NAME,
            format!("{finding}; it is trusted here because of --ca"),
            ACTION,
        ),
        false => Check::fail(NAME, finding, ACTION),
    }
}

/// Returns the checks of a chain without an accepted root: a certificate is missing, or the root is not trusted.
pub fn no_path(
    presented: &[Vec<u8>],
    facts: &[Facts],
    anchors: &Anchors<'_>,
    at: SystemTime,
) -> (Check, Check) {
    let root = top_issuer(facts);
    if verify_chain(presented, &anchors.known, at).is_ok() {
        let chain = Check::ok("chain", format!("{} certificates, complete", facts.len()));
        let finding = format!("{root} is not a trusted root");
        return (chain, Check::fail("authority", finding, ACTION));
    }
    let has_name = |trusted: &TrustedRoots| trusted.has_name(root);
    let is_named = anchors
        .trusted
        .map_or_else(|| kms_certificate::has_root_named(root), has_name);
    if is_named && first_gap(facts).is_none() {
        return by_name(root);
    }
    incomplete(facts, root)
}

fn by_name(root: &str) -> (Check, Check) {
    let chain = Check::warn(
        "chain",
        format!("ends below {root}, whose certificate is not available here"),
        "add the root's certificate (--ca) to verify the last step",
    );
    (
        chain,
        Check::warn(
            "authority",
            format!("{root}, compared by name only"),
            "add the root's certificate (--ca) to compare its fingerprint",
        ),
    )
}

fn incomplete(facts: &[Facts], root: &str) -> (Check, Check) {
    let finding = match first_gap(facts) {
        Some((lower, next)) => format!(
            "{} is issued by {}, but {} follows",
            lower.subject, lower.issuer, next.subject
        ),
        None => {
            format!("ends with a certificate of {root}, which is not a known root")
        }
    };
    let chain = Check::fail(
        "chain",
        finding,
        "present the intermediate certificates after the server's own (server.tls.certificate: the full chain, leaf first)",
    );
    (
        chain,
        Check::skipped("authority", "the chain is not complete"),
    )
}

/// Returns the issuer of the last certificate.
fn top_issuer(facts: &[Facts]) -> &str {
    facts
        .last()
        .map(|facts| facts.issuer.as_str())
        .unwrap_or_default()
}
