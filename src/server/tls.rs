//! TLS (XKS API, "Transport"): 1.2 and 1.3, the four suites that KMS offers, the post-quantum hybrid key exchange first, and mTLS.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;

use super::client_auth::SubjectVerifier;
use super::client_ca::ClientAuth;
use super::identity::ServerIdentity;
use super::tls_error::{CertificateExpiry, TlsError};

/// Everything that TLS needs, checked.
#[derive(Clone)]
pub struct TlsSettings {
    pub(super) config: Arc<ServerConfig>,
    /// The server's certificate and key.
    pub identity: ServerIdentity,
    /// By which one CA with its subjects is told from another; none without client authentication.
    clients: Option<[u8; 32]>,
    /// When the server's certificate and the client CAs end (of several CAs, the earliest).
    pub expiries: Vec<CertificateExpiry>,
}

impl std::fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsSettings")
            .field("expiries", &self.expiries)
            .finish_non_exhaustive()
    }
}

impl TlsSettings {
    /// A server with this identity, which accepts these clients (all, if none are given).
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
        let clients = client_auth.as_ref().map(|auth| auth.made_of);
        Ok(Self {
            config: Arc::new(server_config(&identity, client_auth)?),
            identity,
            clients,
            expiries,
        })
    }

    /// The same from PEM, see [`ServerIdentity::from_pem`].
    ///
    /// # Errors
    /// [`TlsError`]: which of the three is wrong, and how.
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

    /// What is another than in `former`, by the names of the configuration.
    pub fn changes_since(&self, former: &Self) -> Vec<&'static str> {
        let (new, old) = (&self.identity, &former.identity);
        let parts = [
            ("certificate", new.certificate != old.certificate),
            ("private_key", new.private_key != old.private_key),
            ("client_auth", self.clients != former.clients),
        ];
        let changed = parts.into_iter().filter(|(_, is_another)| *is_another);
        changed.map(|(name, _)| name).collect()
    }
}

fn server_config(
    identity: &ServerIdentity,
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
    let single = SingleCertAndKey::from(identity.certified_key());
    let mut config = builder.with_cert_resolver(Arc::new(single));
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
