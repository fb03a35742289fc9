//! TLS settings of a caller who chooses everything: roots, certificate, versions, suites, protocols.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedCipherSuite,
    SupportedProtocolVersion,
};

/// Whose certificates are trusted.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those of these roots.
    Roots(Arc<RootCertStore>),
    /// Any: for a proxy on one's own machine.
    Anyone,
}

/// A certificate chain with its private key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// A version of TLS that is fit for use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2.
    V1_2,
    /// 1.3.
    V1_3,
}

/// A suite of the specification (XKS API, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// `TLS_AES_256_GCM_SHA384`, of TLS 1.3.
    Aes256Gcm,
    /// `TLS_CHACHA20_POLY1305_SHA256`, of TLS 1.3.
    ChaCha20,
    /// `ECDHE-RSA-AES256-GCM-SHA384`, of TLS 1.2.
    EcdheRsa,
    /// `ECDHE-ECDSA-AES256-GCM-SHA384`, of TLS 1.2.
    EcdheEcdsa,
}

/// How to speak TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Who is trusted.
    pub trust: Trust,
    /// The client certificate that is shown when one is asked for.
    pub identity: Option<Arc<Identity>>,
    /// The versions offered.
    pub versions: Vec<TlsVersion>,
    /// The suites offered.
    pub suites: Vec<Suite>,
    /// The protocols offered by ALPN; none: no ALPN.
    pub protocols: Vec<&'static str>,
}

impl Trust {
    /// The roots in a PEM file.
    ///
    /// # Errors
    /// When there is none in it, or one that is no certificate.
    pub fn pem(pem: &[u8]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(io::Error::other)?;
        }
        Ok(Self::Roots(Arc::new(roots)))
    }

    /// The public roots that browsers trust.
    pub fn public() -> Self {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Self::Roots(Arc::new(roots))
    }
}

impl Identity {
    /// A chain and its key, as PEM.
    ///
    /// # Errors
    /// When either holds none.
    pub fn pem(chain: &[u8], key: &[u8]) -> io::Result<Self> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(io::Error::other)?;
        let chain = certificates(chain)?;
        Ok(Self { chain, key })
    }

    /// A certificate and its key (PKCS#8), as DER.
    pub fn der(certificate: Vec<u8>, key: Vec<u8>) -> Self {
        Self {
            chain: vec![certificate.into()],
            key: PrivateKeyDer::Pkcs8(key.into()),
        }
    }

    /// The certificate itself, as DER.
    pub fn certificate(&self) -> &[u8] {
        self.chain.first().map(AsRef::as_ref).unwrap_or_default()
    }
}

fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match parsed.map_err(io::Error::other)? {
        none if none.is_empty() => Err(io::Error::other("there is no certificate in it")),
        some => Ok(some),
    }
}

impl Tls {
    /// What the specification allows, for a caller without a certificate.
    pub fn new(trust: Trust) -> Self {
        use Suite::{Aes256Gcm, ChaCha20, EcdheEcdsa, EcdheRsa};
        Self {
            trust,
            identity: None,
            versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
            suites: vec![Aes256Gcm, ChaCha20, EcdheRsa, EcdheEcdsa],
            protocols: vec!["http/1.1"],
        }
    }

    /// As `rustls` wants it.
    ///
    /// # Errors
    /// When versions and suites do not fit, or certificate and key do not.
    pub fn config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: self.suites.iter().map(|suite| suite.supported()).collect(),
            ..aws_lc_rs::default_provider()
        });
        let versions: Vec<_> = self.versions.iter().map(|v| v.supported()).collect();
        let builder =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions)?;
        let builder = match &self.trust {
            Trust::Roots(roots) => builder.with_root_certificates(Arc::clone(roots)),
            Trust::Anyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoQuestions::new())),
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(it) => builder.with_client_auth_cert(it.chain.clone(), it.key.clone_key())?,
        };
        let protocols = self.protocols.iter();
        config.alpn_protocols = protocols.map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

impl TlsVersion {
    fn supported(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::V1_2 => &TLS12,
            Self::V1_3 => &TLS13,
        }
    }
}

impl Suite {
    /// The version that has it.
    pub fn version(self) -> TlsVersion {
        match self {
            Self::Aes256Gcm | Self::ChaCha20 => TlsVersion::V1_3,
            Self::EcdheRsa | Self::EcdheEcdsa => TlsVersion::V1_2,
        }
    }

    fn supported(self) -> SupportedCipherSuite {
        match self {
            Self::Aes256Gcm => cipher_suite::TLS13_AES_256_GCM_SHA384,
            Self::ChaCha20 => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            Self::EcdheRsa => cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            Self::EcdheEcdsa => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        }
    }
}

/// The number of the alert with which the peer ended a connection, if that is how it ended.
pub fn alert_of(error: &io::Error) -> Option<u8> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some((*alert).into()),
        _ => None,
    }
}

/// Takes any certificate; that the peer has its key is still proved.
#[derive(Debug)]
struct NoQuestions(WebPkiSupportedAlgorithms);

impl NoQuestions {
    fn new() -> Self {
        Self(aws_lc_rs::default_provider().signature_verification_algorithms)
    }
}

impl ServerCertVerifier for NoQuestions {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
