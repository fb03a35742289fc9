//! Whether the certificates of a file are a chain: the server's first, each next one the issuer of the one before, none missing.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS;

use super::problem::{CertificateProblem, ProblemKind};
use crate::kms_certificate;

/// Returns the problems, and a warning when the chain does not lead to a root that KMS trusts. `end` is its last certificate.
pub(in crate::server) fn check(
    chain: &[X509Certificate<'_>],
    end: Option<&CertificateDer<'_>>,
) -> (Vec<CertificateProblem>, Option<String>) {
    let problems: Vec<_> = leaf_is_ca(chain).into_iter().chain(links(chain)).collect();
    // If the order is wrong, the last certificate says nothing.
    let (true, Some(last), Some(der)) = (problems.is_empty(), chain.last(), end) else {
        return (problems, None);
    };
    match lacks_intermediates(chain, last) {
        Some(problem) => (vec![problem], None),
        None => (problems, untrusted_end(chain, last, der)),
    }
}

fn leaf_is_ca(chain: &[X509Certificate<'_>]) -> Option<CertificateProblem> {
    let leaf = chain.first().filter(|leaf| leaf.is_ca())?;
    let what = format!(
        "begins with the certificate of a CA ({}); the server's own certificate comes first",
        leaf.subject()
    );
    Some(ProblemKind::Chain.problem(what))
}

/// Each pair in which the second has not issued the first.
fn links(chain: &[X509Certificate<'_>]) -> Vec<CertificateProblem> {
    let pairs = chain.iter().zip(chain.iter().skip(1));
    let broken = pairs.filter(|(one, next)| !has_issued(next, one));
    let problem = |(one, next): (&X509Certificate<'_>, &X509Certificate<'_>)| {
        let issuer = chain.iter().find(|other| has_issued(other, one));
        let what = match issuer {
            Some(issuer) => format!(
                "is not in order: {:?} was issued by {:?}, but the next certificate is that of {:?}",
                one.subject().to_string(),
                issuer.subject().to_string(),
                next.subject().to_string()
            ),
            None => format!(
                "lacks the certificate of {:?}, which issued {:?}; the next one is that of {:?}",
                one.issuer().to_string(),
                one.subject().to_string(),
                next.subject().to_string()
            ),
        };
        ProblemKind::Chain.problem(what)
    };
    broken.map(problem).collect()
}

/// A chain is complete when it leads to a root that is known here, or holds one. Public CAs issue servers' certificates by intermediates only,
/// so one that says where its issuer's certificate is, and stands alone, lacks that.
fn lacks_intermediates(
    chain: &[X509Certificate<'_>],
    last: &X509Certificate<'_>,
) -> Option<CertificateProblem> {
    let is_complete = is_self_issued(last)
        || chain.iter().any(leads_to_known_root)
        || chain.iter().any(leads_to_trusted_name);
    if is_complete || chain.len() > 1 || !names_its_issuers_certificate(last) {
        return None;
    }
    let what = format!(
        "lacks the intermediate certificates: it holds the server's only, issued by \"{}\"; use the file with the full chain",
        last.issuer()
    );
    Some(ProblemKind::Chain.problem(what))
}

/// KMS trusts the roots of AWS's list only. A root in the chain is compared by its fingerprint, one that is not there by its name.
fn untrusted_end(
    chain: &[X509Certificate<'_>],
    last: &X509Certificate<'_>,
    der: &CertificateDer<'_>,
) -> Option<String> {
    let is_trusted = match is_self_issued(last) {
        true => kms_certificate::is_root(der),
        false => chain.iter().any(leads_to_trusted_name),
    };
    (!is_trusted).then(|| {
        format!(
            "leads to \"{}\", which is not in AWS's list of trusted CAs (TrustedCertificateAuthorities, as this build knows it); KMS accepts only CAs of that list",
            last.issuer()
        )
    })
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

/// By its issuer, or as the certificate that another root issued for a root of the list.
fn leads_to_trusted_name(certificate: &X509Certificate<'_>) -> bool {
    [certificate.issuer(), certificate.subject()]
        .iter()
        .any(|name| kms_certificate::has_root_named(&name.to_string()))
}

fn leads_to_known_root(certificate: &X509Certificate<'_>) -> bool {
    let names = [certificate.issuer(), certificate.subject()];
    webpki_roots::TLS_SERVER_ROOTS.iter().any(|root| {
        let root: &[u8] = root.subject.as_ref();
        // Theirs are without tag and length.
        names.iter().any(|name| {
            let name = name.as_raw();
            name.ends_with(root) && name.len() - root.len() <= 4
        })
    })
}

fn names_its_issuers_certificate(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().any(|extension| {
        let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() else {
            return false;
        };
        let is_issuers = |method| method == OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS;
        access
            .accessdescs
            .iter()
            .any(|description| is_issuers(description.access_method.clone()))
    })
}

/// By name, and by signature if its algorithm is known here.
fn has_issued(issuer: &X509Certificate<'_>, certificate: &X509Certificate<'_>) -> bool {
    if issuer.subject().as_raw() != certificate.issuer().as_raw() {
        return false;
    }
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let wanted = certificate.signature_algorithm.algorithm.as_bytes();
    let is_wanted = |id: &[u8]| id.windows(wanted.len()).any(|part| part == wanted);
    let mut known = algorithms
        .all
        .iter()
        .filter(|algorithm| is_wanted(algorithm.signature_alg_id().as_ref()))
        .peekable();
    if known.peek().is_none() {
        return true;
    }
    let key = &issuer.public_key().subject_public_key.data;
    let signed = certificate.tbs_certificate.as_ref();
    let signature = &certificate.signature_value.data;
    known.any(|algorithm| algorithm.verify_signature(key, signed, signature).is_ok())
}
