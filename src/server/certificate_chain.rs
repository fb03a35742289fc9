//! Whether the certificates of a file are a chain: the server's first, each next one the issuer of the one before, none missing.

use rustls::crypto::aws_lc_rs;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS;

use super::certificate_problem::{CertificateProblem, ProblemKind};

/// The problems, and a warning when it cannot be known here whether the chain is complete.
pub(super) fn check(chain: &[X509Certificate<'_>]) -> (Vec<CertificateProblem>, Option<String>) {
    let problems: Vec<_> = leaf_is_ca(chain).into_iter().chain(links(chain)).collect();
    // If the order is wrong, the last certificate says nothing.
    match (problems.is_empty(), chain.last()) {
        (true, Some(last)) => end(chain, last),
        _ => (problems, None),
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
fn end(
    chain: &[X509Certificate<'_>],
    last: &X509Certificate<'_>,
) -> (Vec<CertificateProblem>, Option<String>) {
    let is_root = last.subject().as_raw() == last.issuer().as_raw();
    if is_root || chain.iter().any(leads_to_known_root) {
        return (Vec::new(), None);
    }
    let issuer = last.issuer();
    if chain.len() == 1 && names_its_issuers_certificate(last) {
        let what = format!(
            "lacks the intermediate certificates: it holds the server's only, issued by \"{issuer}\"; use the file with the full chain"
        );
        return (vec![ProblemKind::Chain.problem(what)], None);
    }
    let warning = format!(
        "ends with a certificate issued by \"{issuer}\", which is not a public root CA that this build knows; KMS accepts public CAs only"
    );
    (Vec::new(), Some(warning))
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
