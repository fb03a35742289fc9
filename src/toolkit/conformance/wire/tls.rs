//! TLS settings of a client that chooses versions, suites and protocols.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedCipherSuite, SupportedProtocolVersion};

use crate::client::{ClientIdentity, Trust, tls_config};

/// The alert `handshake_failure` (RFC 8446, section 6).
pub const HANDSHAKE_FAILURE: u8 = 40;

/// A TLS version that the specification allows.
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

/// TLS settings.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The trusted authorities.
    pub trust: Trust,
    /// The client certificate, for servers that request one.
    pub identity: Option<Arc<ClientIdentity>>,
    /// The offered versions.
    pub versions: Vec<TlsVersion>,
    /// The offered suites.
    pub suites: Vec<Suite>,
    /// The protocols offered by ALPN; empty for no ALPN.
    pub protocols: Vec<&'static str>,
}

impl Tls {
    /// Returns the versions and suites of the specification, for a client without a certificate.
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

    /// Returns the settings for `rustls`.
    ///
    /// # Errors
    /// Versions and suites do not match, or certificate and key do not.
    pub fn config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        let suites = self.suites.iter().map(|suite| suite.supported()).collect();
        let versions: Vec<_> = self.versions.iter().map(|v| v.supported()).collect();
        let identity = self.identity.as_deref();
        let mut config = tls_config(suites, &versions, &self.trust, identity)?;
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
    /// Returns the version of the suite.
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

/// Returns the number of the alert with which the peer ended the connection; none if it ended differently.
pub fn received_alert(error: &io::Error) -> Option<u8> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some((*alert).into()),
        _ => None,
    }
}
