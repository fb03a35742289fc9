//! TLS as KMS uses it: versions 1.2 and 1.3, the four suites of the specification (XKS API, section 2), HTTP/1.1.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion,
};

/// The server certificates that the client accepts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Certificates that lead to one of these authorities (DER), or to a public root.
    PublicAnd(Vec<Vec<u8>>),
    /// Any certificate: the caller verifies the chain afterwards.
    Anyone,
}

/// The suites of the specification.
const SUITES: [SupportedCipherSuite; 4] = [
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
];

/// A client certificate with its chain and private key. `Debug` does not show the key.
#[derive(Debug)]
pub struct ClientIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// The TLS settings of a client.
#[derive(Clone, Debug)]
pub struct TlsClient(pub(super) Arc<ClientConfig>);

impl ClientIdentity {
    /// Parses a certificate chain and its private key (PEM).
    ///
    /// # Errors
    /// A message about the file that contains no certificate or no key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, &'static str> {
        let no_chain = "the client certificate's file contains no PEM certificate";
        let no_key = "the client key's file contains no PEM private key";
        Ok(Self {
            chain: pem_certificates(chain).ok_or(no_chain)?,
            key: PrivateKeyDer::from_pem_slice(key).map_err(|_| no_key)?,
        })
    }

    /// Stores a certificate and its key (PKCS#8), both as DER.
    pub fn from_der(certificate: Vec<u8>, key: Vec<u8>) -> Self {
        Self {
            chain: vec![certificate.into()],
            key: PrivateKeyDer::Pkcs8(key.into()),
        }
    }

    /// Returns the client's own certificate, as DER.
    pub fn certificate(&self) -> &[u8] {
        self.chain.first().map(AsRef::as_ref).unwrap_or_default()
    }
}

/// Parses the certificates of a PEM file, and returns them as DER.
///
/// # Errors
/// The file contains no certificate, or a damaged one.
pub fn authorities(pem: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let found = pem_certificates(pem).ok_or("contains no PEM certificate, or a damaged one")?;
    Ok(found.iter().map(|der| der.to_vec()).collect())
}

fn pem_certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    parsed.ok().filter(|found| !found.is_empty())
}

impl TlsClient {
    /// Returns settings with this trust. The client presents `identity` when the server requests a certificate.
    ///
    /// # Errors
    /// Certificate and key do not match, or their type is not supported.
    pub fn new(trust: Trust, identity: Option<ClientIdentity>) -> Result<Self, Error> {
        let versions = rustls::DEFAULT_VERSIONS;
        let mut config = config(SUITES.to_vec(), versions, &trust, identity.as_ref())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// Returns the TLS settings of a client that offers these suites and versions, without ALPN.
///
/// # Errors
/// The versions have none of the suites, or certificate and key do not belong together.
pub fn config(
    suites: Vec<SupportedCipherSuite>,
    versions: &[&'static SupportedProtocolVersion],
    trust: &Trust,
    identity: Option<&ClientIdentity>,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: suites,
        ..aws_lc_rs::default_provider()
    });
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let builder = match trust {
        Trust::PublicAnd(more) => builder.with_root_certificates(roots(more)),
        Trust::Anyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate::new())),
    };
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(it) => builder.with_client_auth_cert(it.chain.clone(), it.key.clone_key()),
    }
}

fn roots(more: &[Vec<u8>]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    // Skips authorities that cannot be used.
    roots.add_parsable_certificates(more.iter().map(|der| CertificateDer::from(der.as_slice())));
    roots
}

/// Accepts any certificate. The peer must still prove that it has the key.
#[derive(Debug)]
struct AcceptAnyCertificate(WebPkiSupportedAlgorithms);

impl AcceptAnyCertificate {
    fn new() -> Self {
        Self(aws_lc_rs::default_provider().signature_verification_algorithms)
    }
}

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
