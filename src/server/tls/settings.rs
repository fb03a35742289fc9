//! The TLS settings (XKS API, "Transport"): versions 1.2 and 1.3, the four cipher suites that KMS offers, the post-quantum hybrid key exchange first,
//! and mTLS.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};

use super::error::{CertificateExpiry, TlsError};
use crate::server::tls::certificate::identity::ServerIdentity;
use crate::server::tls::client_auth::settings::{ClientAuth, ClientAuthMode};
use crate::server::tls::client_auth::verifier::{ClientHandshake, ClientRules};

/// Certificate, key and client authentication of the server, all checked.
#[derive(Clone)]
pub struct TlsSettings {
    clients: Clients,
    /// The server's certificate and key.
    pub identity: ServerIdentity,
    /// The mode, and a digest of CAs and subjects, to detect a change; `None` without client authentication.
    client_auth: Option<(ClientAuthMode, [u8; 32])>,
    /// The expiry of the server's certificate and of the client CAs. Of several CAs it is the earliest.
    pub expiries: Vec<CertificateExpiry>,
}

/// The authentication of clients: with or without a certificate.
#[derive(Clone)]
enum Clients {
    /// No certificate is requested: all connections share one configuration.
    Anonymous(Arc<ServerConfig>),
    /// A certificate is requested from each client.
    Authenticated(Arc<ClientAuthTemplate>),
}

/// The parts of the configuration that all connections with client authentication share.
struct ClientAuthTemplate {
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    identity: Arc<SingleCertAndKey>,
    rules: Arc<ClientRules>,
}

/// The TLS configuration of one new connection.
pub(in crate::server) struct Session {
    pub config: Arc<ServerConfig>,
    /// `None` if no client certificate is requested.
    pub client: Option<Arc<ClientHandshake>>,
}

impl std::fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsSettings")
            .field("expiries", &self.expiries)
            .finish_non_exhaustive()
    }
}

/// The number of tickets after a TLS 1.3 handshake. Each ticket resumes one connection, and that connection gets the next ticket.
const TICKETS: usize = 1;

impl TlsSettings {
    /// Creates the settings of a server with this identity. Without `client_auth` it requests no client certificates.
    ///
    /// # Errors
    /// [`TlsError::ClientCa`] when no client CA can be used.
    pub fn new(
        identity: ServerIdentity,
        client_auth: Option<ClientAuth>,
    ) -> Result<Self, TlsError> {
        let mut expiries = vec![CertificateExpiry {
            role: "server",
            unix_seconds: identity.not_after(),
        }];
        expiries.extend(client_auth.as_ref().and_then(|auth| auth.expiry.clone()));
        let summary = client_auth.as_ref().map(|auth| (auth.mode, auth.digest));
        Ok(Self {
            clients: Clients::new(&identity, client_auth)?,
            identity,
            client_auth: summary,
            expiries,
        })
    }

    /// Returns the mode of client authentication; `None` if no client certificate is requested.
    pub fn client_auth_mode(&self) -> Option<ClientAuthMode> {
        self.client_auth.map(|(mode, _)| mode)
    }

    /// Returns the TLS configuration of a new connection.
    pub(in crate::server) fn session(&self) -> Session {
        match &self.clients {
            Clients::Anonymous(config) => Session {
                config: Arc::clone(config),
                client: None,
            },
            Clients::Authenticated(template) => template.session(),
        }
    }

    /// Creates the settings from PEM, see [`ServerIdentity::from_pem`] and [`Self::new`].
    ///
    /// # Errors
    /// [`TlsError`] when certificate, key or client CA is wrong.
    pub fn from_pem(
        certificate: &[u8],
        private_key: &[u8],
        client_auth: Option<ClientAuth>,
    ) -> Result<Self, TlsError> {
        Self::new(
            ServerIdentity::from_pem(certificate, private_key)?,
            client_auth,
        )
    }

    /// Returns the names of the configuration sections that differ from those of `previous`.
    pub fn changes_since(&self, previous: &Self) -> Vec<&'static str> {
        let (new, old) = (&self.identity, &previous.identity);
        let parts = [
            ("certificate", new.certificate != old.certificate),
            ("private_key", new.private_key != old.private_key),
            ("client_auth", self.client_auth != previous.client_auth),
        ];
        let changed = parts.into_iter().filter(|(_, differs)| *differs);
        changed.map(|(name, _)| name).collect()
    }
}

impl Clients {
    fn new(identity: &ServerIdentity, client_auth: Option<ClientAuth>) -> Result<Self, TlsError> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let builder = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
        let identity = Arc::new(SingleCertAndKey::from(identity.certified_key()));
        let Some(auth) = client_auth else {
            let config = builder.with_no_client_auth().with_cert_resolver(identity);
            let mut config = with_protocols(config);
            config.send_tls13_tickets = TICKETS;
            return Ok(Self::Anonymous(Arc::new(config)));
        };
        if auth.roots.is_empty() {
            return Err(TlsError::ClientCa("no client CA is usable".into()));
        }
        let rules = ClientRules::new(auth.mode, &auth.roots, auth.subjects, algorithms);
        Ok(Self::Authenticated(Arc::new(ClientAuthTemplate {
            builder,
            identity,
            rules: Arc::new(rules),
        })))
    }
}

impl ClientAuthTemplate {
    /// Creates a configuration for one connection. rustls tells its verifier nothing about the connection, so each connection needs its own verifier.
    fn session(&self) -> Session {
        let client = Arc::new(ClientHandshake::new(Arc::clone(&self.rules)));
        let builder = self.builder.clone();
        let builder = builder.with_client_cert_verifier(Arc::clone(&client) as _);
        let mut config =
            with_protocols(builder.with_cert_resolver(Arc::clone(&self.identity) as _));
        // A resumed session would skip the check of the client certificate, so sessions are not resumed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Session {
            config: Arc::new(config),
            client: Some(client),
        }
    }
}

fn with_protocols(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Returns the provider of aws-lc-rs with KMS's four cipher suites only. Its first key exchange group is X25519MLKEM768.
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
    fn amazons_roots_are_usable() {
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
    fn errors_name_the_wrong_file() {
        let (certificate, key) = pair();
        let (_, other_key) = pair();
        let parsed =
            |c: &str, k: &str| TlsSettings::from_pem(c.as_bytes(), k.as_bytes(), None).map(drop);
        assert_eq!(parsed(&certificate, &key), Ok(()));
        assert!(matches!(parsed("", &key), Err(TlsError::Certificate(_))));
        assert!(matches!(
            parsed(
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &key
            ),
            Err(TlsError::Certificate(_))
        ));
        assert!(matches!(
            parsed(&certificate, ""),
            Err(TlsError::PrivateKey(_))
        ));
        assert!(matches!(
            parsed(&certificate, &other_key),
            Err(TlsError::KeyMismatch)
        ));
        assert!(matches!(
            ClientAuth::from_pem(b"x", vec![]).map(drop),
            Err(TlsError::ClientCa(_))
        ));
    }

    #[test]
    fn changes_are_named() {
        let ((certificate, key), (other, other_key)) = (pair(), pair());
        let settings = |certificate: &str, key: &str, auth| {
            TlsSettings::from_pem(certificate.as_bytes(), key.as_bytes(), auth).unwrap()
        };
        let auth = |subject: &str| Some(ClientAuth::amazon(vec![subject.into()]));
        let plain = settings(&certificate, &key, None);
        assert!(
            plain
                .changes_since(&settings(&certificate, &key, None))
                .is_empty()
        );
        let renewed = settings(&other, &other_key, None);
        assert_eq!(
            renewed.changes_since(&plain),
            ["certificate", "private_key"]
        );
        let mutual = settings(&certificate, &key, auth("a"));
        assert_eq!(mutual.changes_since(&plain), ["client_auth"]);
        let other_subject = settings(&certificate, &key, auth("b"));
        assert_eq!(other_subject.changes_since(&mutual), ["client_auth"]);
        let optional = auth("a").map(|auth| auth.in_mode(ClientAuthMode::Optional));
        let optional = settings(&certificate, &key, optional);
        assert_eq!(optional.changes_since(&mutual), ["client_auth"]);
    }

    #[test]
    fn the_settings_have_the_expiry_of_the_certificate() {
        let (certificate, key) = pair();
        let settings = TlsSettings::from_pem(certificate.as_bytes(), key.as_bytes(), None).unwrap();
        assert!(settings.expiries[0].unix_seconds > 1_700_000_000);
    }
}
