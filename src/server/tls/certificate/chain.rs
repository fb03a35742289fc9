//! Checks that the certificates of a file form a complete chain: the server's certificate first, then the issuer of each previous certificate.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS;

use super::problem::{CertificateProblem, ProblemKind};
use crate::kms_certificate;

/// Returns the problems, and a warning when the chain does not lead to a root that KMS trusts. `last_der` is its last certificate.
pub(in crate::server) fn check(
    chain: &[X509Certificate<'_>],
    last_der: Option<&CertificateDer<'_>>,
) -> (Vec<CertificateProblem>, Option<String>) {
    let problems: Vec<_> = leaf_is_ca(chain).into_iter().chain(links(chain)).collect();
    // If the order is wrong, the last certificate is not the end of the chain.
    let (true, Some(last), Some(der)) = (problems.is_empty(), chain.last(), last_der) else {
        return (problems, None);
    };
    match lacks_intermediates(chain, last) {
        Some(problem) => (vec![problem], None),
        None => (problems, untrusted_root(chain, last, der)),
    }
}

fn leaf_is_ca(chain: &[X509Certificate<'_>]) -> Option<CertificateProblem> {
    let leaf = chain.first().filter(|leaf| leaf.is_ca())?;
    let problem = format!(
        "begins with the certificate of a CA ({}); put the server's own certificate first",
        leaf.subject()
    );
    Some(ProblemKind::Chain.problem(problem))
}

/// Returns a problem for each pair of certificates in which the second has not issued the first.
fn links(chain: &[X509Certificate<'_>]) -> Vec<CertificateProblem> {
    let pairs = chain.iter().zip(chain.iter().skip(1));
    let broken = pairs.filter(|(one, next)| !has_issued(next, one));
    let problem = |(one, next): (&X509Certificate<'_>, &X509Certificate<'_>)| {
        let issuer = chain.iter().find(|other| has_issued(other, one));
        let text = match issuer {
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
        ProblemKind::Chain.problem(text)
    };
    broken.map(problem).collect()
}

/// Returns a problem if the file has only the server's certificate although an intermediate CA issued it.
///
/// A chain is complete when it contains a known root or leads to one. Public CAs issue server certificates with intermediate CAs only. So a lone
/// certificate that names the address of its issuer's certificate lacks that certificate.
fn lacks_intermediates(
    chain: &[X509Certificate<'_>],
    last: &X509Certificate<'_>,
) -> Option<CertificateProblem> {
    let is_complete = is_self_issued(last)
        || chain.iter().any(leads_to_known_root)
        || chain.iter().any(leads_to_trusted_name);
    if is_complete || chain.len() > 1 || !has_issuer_address(last) {
        return None;
    }
    let problem = format!(
        "lacks the intermediate certificates: it contains only the server's certificate, issued by \"{}\"; use the file with the full chain",
        last.issuer()
    );
    Some(ProblemKind::Chain.problem(problem))
}

/// Returns a warning if KMS does not trust the root. KMS trusts only the roots of AWS's list. A root that is in the chain is compared by its
/// fingerprint, a root that is not by its name.
fn untrusted_root(
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
            "leads to \"{}\", which is not in AWS's list of trusted CAs (TrustedCertificateAuthorities, as of this build); KMS accepts only CAs of that list",
            last.issuer()
        )
    })
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

/// Returns whether the issuer has the name of a root of AWS's list. The subject has it in a certificate that another root issued for that root.
fn leads_to_trusted_name(certificate: &X509Certificate<'_>) -> bool {
    [certificate.issuer(), certificate.subject()]
        .iter()
        .any(|name| kms_certificate::has_root_named(&name.to_string()))
}

fn leads_to_known_root(certificate: &X509Certificate<'_>) -> bool {
    let names = [certificate.issuer(), certificate.subject()];
    webpki_roots::TLS_SERVER_ROOTS.iter().any(|root| {
        let root: &[u8] = root.subject.as_ref();
        // The names of webpki-roots do not have the DER tag and length.
        names.iter().any(|name| {
            let name = name.as_raw();
            name.ends_with(root) && name.len() - root.len() <= 4
        })
    })
}

/// Returns whether the certificate contains the address of its issuer's certificate.
fn has_issuer_address(certificate: &X509Certificate<'_>) -> bool {
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

/// Returns whether `issuer` has issued `certificate`: the names match, and so does the signature if its algorithm is supported.
fn has_issued(issuer: &X509Certificate<'_>, certificate: &X509Certificate<'_>) -> bool {
    if issuer.subject().as_raw() != certificate.issuer().as_raw() {
        return false;
    }
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let oid = certificate.signature_algorithm.algorithm.as_bytes();
    let has_oid = |id: &[u8]| id.windows(oid.len()).any(|part| part == oid);
    let mut supported = algorithms
        .all
        .iter()
        .filter(|algorithm| has_oid(algorithm.signature_alg_id().as_ref()))
        .peekable();
    if supported.peek().is_none() {
        return true;
    }
    let key = &issuer.public_key().subject_public_key.data;
    let signed = certificate.tbs_certificate.as_ref();
    let signature = &certificate.signature_value.data;
    supported.any(|algorithm| algorithm.verify_signature(key, signed, signature).is_ok())
}
