//! TLS (XKS API, "Transport"): 1.2 and 1.3, the four suites that KMS offers, the post-quantum hybrid key exchange first, and mTLS.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_parser::parse_x509_certificate;

use super::client_auth::SubjectVerifier;

/// What is wrong with certificates or keys, in words for an operator. Never holds key material.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsError {
    /// The server's certificate chain.
    #[error("{0}")]
    Certificate(String),
    /// The server's private key.
    #[error("{0}")]
    PrivateKey(String),
    /// The client CA.
    #[error("{0}")]
    ClientCa(String),
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// `server` or `client_ca`.
    pub role: &'static str,
    /// Seconds since 1970.
    pub unix_seconds: i64,
}

/// Everything that TLS needs, checked.
#[derive(Clone)]
pub struct TlsSettings {
    pub(super) config: Arc<ServerConfig>,
    made_of: MadeOf,
    /// When the server's certificate and the client CAs end (of several CAs, the earliest).
    pub expiries: Vec<CertificateExpiry>,
}

/// By what one setup is told from another, without keeping what it was made of.
#[derive(Clone, PartialEq, Eq)]
struct MadeOf {
    certificate: Digest256,
    private_key: Digest256,
    /// CA and subjects; none without client authentication.
    client_auth: Option<Digest256>,
}

type Digest256 = [u8; 32];

/// Which client certificates are accepted: the CA **and** the subject must match.
pub struct ClientAuth {
    roots: RootCertStore,
    subjects: Vec<String>,
    expiry: Option<CertificateExpiry>,
    made_of: Digest256,
}

impl std::fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsSettings")
            .field("expiries", &self.expiries)
            .finish_non_exhaustive()
    }
}

/// The roots of Amazon Trust Services, to which KMS's client certificate chains.
pub fn amazon_trust_services() -> Vec<TrustAnchor<'static>> {
    let is_amazons = |anchor: &&TrustAnchor<'static>| {
        let subject = String::from_utf8_lossy(anchor.subject.as_ref());
        subject.contains("Amazon Root CA") || subject.contains("Starfield Services Root")
    };
    webpki_roots::TLS_SERVER_ROOTS
        .iter()
        .filter(is_amazons)
        .cloned()
        .collect()
}

impl ClientAuth {
    /// Clients whose certificate chains to a CA in `pem` and has one of `subjects` as its subject's common name.
    ///
    /// # Errors
    /// [`TlsError::ClientCa`] when `pem` holds no usable certificate.
    pub fn from_pem(pem: &[u8], subjects: Vec<String>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let mut earliest: Option<i64> = None;
        for certificate in certificates(pem).map_err(TlsError::ClientCa)? {
            let ends = not_after(&certificate).map_err(TlsError::ClientCa)?;
            earliest = Some(earliest.map_or(ends, |known| known.min(ends)));
            let added = roots.add(certificate);
            added.map_err(|error| TlsError::ClientCa(format!("a CA is not usable: {error}")))?;
        }
        let expiry = earliest.map(|unix_seconds| CertificateExpiry {
            role: "client_ca",
            unix_seconds,
        });
        Ok(Self {
            made_of: digest_of(pem, &subjects),
            roots,
            subjects,
            expiry,
        })
    }

    /// Clients whose certificate chains to Amazon Trust Services.
    pub fn amazon(subjects: Vec<String>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.extend(amazon_trust_services());
        Self {
            made_of: digest_of(b"amazon-trust-services", &subjects),
            roots,
            subjects,
            expiry: None,
        }
    }
}

impl TlsSettings {
    /// A server with this certificate chain (leaf first) and key (PKCS#8, PKCS#1 or SEC1), both PEM.
    ///
    /// # Errors
    /// [`TlsError`]: which of the three is wrong, and how.
    pub fn from_pem(
        certificate: &[u8],
        private_key: &[u8],
        client_auth: Option<ClientAuth>,
    ) -> Result<Self, TlsError> {
        let chain = certificates(certificate).map_err(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(private_key)
            .map_err(|_| TlsError::PrivateKey("holds no PEM private key".into()))?;
        let ends = chain
            .first()
            .map_or(Ok(0), not_after)
            .map_err(TlsError::Certificate)?;
        let mut expiries = vec![CertificateExpiry {
            role: "server",
            unix_seconds: ends,
        }];
        expiries.extend(client_auth.as_ref().and_then(|auth| auth.expiry.clone()));
        let made_of = MadeOf {
            certificate: Sha256::digest(certificate).into(),
            private_key: Sha256::digest(private_key).into(),
            client_auth: client_auth.as_ref().map(|auth| auth.made_of),
        };
        let config = Arc::new(server_config(chain, key, client_auth)?);
        Ok(Self {
            config,
            made_of,
            expiries,
        })
    }

    /// What is another than in `former`, by the names of the configuration.
    pub fn changes_since(&self, former: &Self) -> Vec<&'static str> {
        let (new, old) = (&self.made_of, &former.made_of);
        let parts = [
            ("certificate", new.certificate != old.certificate),
            ("private_key", new.private_key != old.private_key),
            ("client_auth", new.client_auth != old.client_auth),
        ];
        let changed = parts.into_iter().filter(|(_, is_another)| *is_another);
        changed.map(|(name, _)| name).collect()
    }
}

fn digest_of(ca: &[u8], subjects: &[String]) -> Digest256 {
    let mut digest = Sha256::new_with_prefix(ca);
    for subject in subjects {
        digest.update([0]);
        digest.update(subject);
    }
    digest.finalize().into()
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_auth: Option<ClientAuth>,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Certificate(error.to_string()))?;
    let authenticates_clients = client_auth.is_some();
    let builder = match client_auth {
        None => builder.with_no_client_auth(),
        Some(auth) => builder.with_client_cert_verifier(verifier(auth, provider)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(of_key_pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if authenticates_clients {
        // A resumed session would skip the client's certificate: each connection shows it anew.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// aws-lc-rs with KMS's four suites only; its key exchange groups start with X25519MLKEM768.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ],
        ..aws_lc_rs::default_provider()
    }
}

fn verifier(
    auth: ClientAuth,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<SubjectVerifier>, TlsError> {
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(auth.roots), provider)
        .build()
        .map_err(|error| TlsError::ClientCa(format!("no client CA is usable: {error}")))?;
    Ok(Arc::new(SubjectVerifier::new(chain, auth.subjects)))
}

fn of_key_pair(error: rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::PrivateKey("is not the key of the certificate".into())
        }
        rustls::Error::InvalidCertificate(error) => {
            TlsError::Certificate(format!("is not usable: {error:?}"))
        }
        other => TlsError::PrivateKey(format!("is not usable: {other}")),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match parsed {
        Ok(certificates) if certificates.is_empty() => Err("holds no PEM certificate".into()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

fn not_after(certificate: &CertificateDer<'_>) -> Result<i64, String> {
    match parse_x509_certificate(certificate) {
        Ok((_, parsed)) => Ok(parsed.validity().not_after.timestamp()),
        Err(error) => Err(format!("is not an X.509 certificate: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    fn pair() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn amazons_roots_are_built_in() {
        assert!(amazon_trust_services().len() >= 4, "Amazon Root CA 1 to 4");
        let auth = ClientAuth::amazon(vec!["cks.kms.eu-west-1.amazonaws.com".into()]);
        let (certificate, key) = pair();
        assert!(TlsSettings::from_pem(certificate.as_bytes(), key.as_bytes(), Some(auth)).is_ok());
    }

    #[test]
    fn post_quantum_key_exchange_comes_first() {
        let first = provider().kx_groups.first().map(|group| group.name());
        assert_eq!(first, Some(rustls::NamedGroup::X25519MLKEM768));
    }

    #[test]
    fn faults_say_which_file_is_wrong() {
        let (certificate, key) = pair();
        let (_, other_key) = pair();
        let made =
            |c: &str, k: &str| TlsSettings::from_pem(c.as_bytes(), k.as_bytes(), None).map(drop);
        assert_eq!(made(&certificate, &key), Ok(()));
        assert!(matches!(made("", &key), Err(TlsError::Certificate(_))));
        assert!(matches!(
            made(
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &key
            ),
            Err(TlsError::Certificate(_))
        ));
        assert!(matches!(
            made(&certificate, ""),
            Err(TlsError::PrivateKey(_))
        ));
        assert!(matches!(
            made(&certificate, &other_key),
            Err(TlsError::PrivateKey(_))
        ));
        assert!(matches!(
            ClientAuth::from_pem(b"x", vec![]).map(drop),
            Err(TlsError::ClientCa(_))
        ));
    }

    #[test]
    fn changes_are_named() {
        let ((certificate, key), (other, other_key)) = (pair(), pair());
        let made = |certificate: &str, key: &str, auth| {
            TlsSettings::from_pem(certificate.as_bytes(), key.as_bytes(), auth).unwrap()
        };
        let auth = |subject: &str| Some(ClientAuth::amazon(vec![subject.into()]));
        let plain = made(&certificate, &key, None);
        assert!(
            plain
                .changes_since(&made(&certificate, &key, None))
                .is_empty()
        );
        let renewed = made(&other, &other_key, None);
        assert_eq!(
            renewed.changes_since(&plain),
            ["certificate", "private_key"]
        );
        let mutual = made(&certificate, &key, auth("a"));
        assert_eq!(mutual.changes_since(&plain), ["client_auth"]);
        let another = made(&certificate, &key, auth("b"));
        assert_eq!(another.changes_since(&mutual), ["client_auth"]);
    }

    #[test]
    fn the_expiry_is_known() {
        let (certificate, key) = pair();
        let settings = TlsSettings::from_pem(certificate.as_bytes(), key.as_bytes(), None).unwrap();
        assert!(settings.expiries[0].unix_seconds > 1_700_000_000);
    }
}
