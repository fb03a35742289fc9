//! Verification of a certificate chain against given authorities, separate from any connection: a tool can then report
//! which part of the chain is wrong.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};

/// The reason why a chain is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// No path leads from the first certificate to an authority.
    NoPath,
    /// Any other reason: validity, purpose or a wrong signature.
    Other(String),
}

/// Checks that the chain (DER, the server's certificate first) leads to one of the authorities (DER) at this time. Ignores names.
///
/// # Errors
/// [`ChainError`]: no path exists, or a certificate on the path is not valid.
pub fn verify_chain(
    chain: &[Vec<u8>],
    authorities: &[Vec<u8>],
    at: SystemTime,
) -> Result<(), ChainError> {
    let (Some((leaf, intermediates)), false) = (chain.split_first(), authorities.is_empty()) else {
        return Err(ChainError::NoPath);
    };
    let certificate = |der: &Vec<u8>| CertificateDer::from(der.clone());
    let mut roots = RootCertStore::empty();
    // Skips authorities that cannot be used: the others may be sufficient.
    roots.add_parsable_certificates(authorities.iter().map(certificate));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = verifier.build().map_err(|_| ChainError::NoPath)?;
    let intermediates: Vec<_> = intermediates.iter().map(certificate).collect();
    // The verifier checks the name last. No certificate contains this name, so a name error means that everything else is valid.
    let name = ServerName::try_from("name.invalid").map_err(other)?;
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let now = UnixTime::since_unix_epoch(since);
    match verifier.verify_server_cert(&certificate(leaf), &intermediates, &name, &[], now) {
        Ok(_) => Ok(()),
        Err(error) => without_name_error(error),
    }
}

/// A name error means that everything else is valid.
fn without_name_error(error: Error) -> Result<(), ChainError> {
    use CertificateError::{NotValidForName, NotValidForNameContext, UnknownIssuer};
    match error {
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => Ok(()),
        Error::InvalidCertificate(UnknownIssuer) => Err(ChainError::NoPath),
        error => Err(other(error)),
    }
}

fn other(error: impl std::fmt::Display) -> ChainError {
    ChainError::Other(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use std::time::Duration;

    type Issuer = CertifiedIssuer<'static, KeyPair>;

    fn ca(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn root(name: &str) -> Issuer {
        CertifiedIssuer::self_signed(ca(name), KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(issuer: &Issuer) -> Vec<u8> {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, issuer).unwrap().der().to_vec()
    }

    #[test]
    fn a_path_needs_all_of_its_certificates() {
        let root = root("root");
        let intermediate =
            CertifiedIssuer::signed_by(ca("intermediate"), KeyPair::generate().unwrap(), &root)
                .unwrap();
        let (leaf, middle, top) = (
            leaf(&intermediate),
            intermediate.der().to_vec(),
            root.der().to_vec(),
        );
        let now = SystemTime::now();
        let verify = |chain: &[Vec<u8>], roots: &[Vec<u8>]| verify_chain(chain, roots, now);
        let roots = [top.clone()];
        let whole = [leaf.clone(), middle.clone(), top.clone()];
        assert_eq!(verify(&whole, &roots), Ok(()));
        assert_eq!(verify(&whole[..2], &roots), Ok(()));
        assert_eq!(verify(&whole[..1], &roots), Err(ChainError::NoPath));
        let strangers = [self::root("stranger").der().to_vec()];
        assert_eq!(verify(&whole, &strangers), Err(ChainError::NoPath));
        assert_eq!(verify(&whole, &[]), Err(ChainError::NoPath));
        assert_eq!(verify(&[], &roots), Err(ChainError::NoPath));
    }

    #[test]
    fn validity_is_checked_at_the_given_time() {
        let root = root("root");
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(90_000_000_000);
        let result = verify_chain(&[leaf(&root)], &[root.der().to_vec()], far);
        assert!(matches!(result, Err(ChainError::Other(_))), "{result:?}");
    }
}
