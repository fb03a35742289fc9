//! A public key infrastructure for every test: authorities, and valid and invalid certificates of servers and clients.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use time::OffsetDateTime;

/// The subject of KMS's client certificate in the test Region.
pub const KMS_SUBJECT: &str = "cks.kms.eu-west-1.amazonaws.com";

/// A certification authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its private key.
pub struct Identity {
    /// The certificate as DER.
    pub certificate: CertificateDer<'static>,
    /// The certificate as PEM.
    pub certificate_pem: String,
    /// The key as PEM (PKCS#8).
    pub key_pem: String,
    key: Vec<u8>,
}

impl Authority {
    /// Makes a root with this name.
    pub fn new(name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// Makes an intermediate authority with this name.
    pub fn intermediate(&self, name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer).unwrap();
        Self { issuer }
    }

    /// Returns the root certificate as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Returns the root's private key as PEM (PKCS#8).
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Returns the root certificate as DER.
    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Issues a server certificate for `localhost` with this key.
    pub fn server(&self, key: KeyPair) -> Identity {
        let mut params = named("localhost", &["localhost", "127.0.0.1"]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params, key)
    }

    /// Issues a server certificate for these names. The first is its common name.
    pub fn server_for(&self, names: &[&str]) -> Identity {
        let mut params = named(names[0], names);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params, KeyPair::generate().unwrap())
    }

    /// Issues a server certificate for `localhost` that was valid until the end of 2020.
    pub fn expired_server(&self) -> Identity {
        self.expired_server_for(&["localhost", "127.0.0.1"])
    }

    /// Issues a server certificate for these names that was valid until the end of 2020.
    pub fn expired_server_for(&self, names: &[&str]) -> Identity {
        let mut params = named(names[0], names);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 12, 31);
        self.issue(&params, KeyPair::generate().unwrap())
    }

    /// Issues a server certificate for `localhost` with a lifetime of 100 days, of which `days` are left.
    pub fn server_that_ends_in(&self, days: i64) -> Identity {
        self.with_days_left(named("localhost", &["localhost", "127.0.0.1"]), days)
    }

    /// Issues a server certificate for these names that ends in `days` days.
    pub fn server_for_that_ends_in(&self, names: &[&str], days: i64) -> Identity {
        let mut params = named(names[0], names);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_after = OffsetDateTime::now_utc() + time::Duration::days(days);
        self.issue(&params, KeyPair::generate().unwrap())
    }

    /// Issues a certificate that ends in `days` days, with a common name that is not one of its names.
    pub fn misnamed_server_that_ends_in(&self, days: i64) -> Identity {
        self.with_days_left(named("elsewhere", &["localhost", "127.0.0.1"]), days)
    }

    fn with_days_left(&self, mut params: CertificateParams, days: i64) -> Identity {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_after = OffsetDateTime::now_utc() + time::Duration::days(days);
        params.not_before = params.not_after - time::Duration::days(100);
        self.issue(&params, KeyPair::generate().unwrap())
    }

    /// Issues a certificate with this name for servers only.
    pub fn server_named(&self, common_name: &str) -> Identity {
        let mut params = named(common_name, &[common_name]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params, KeyPair::generate().unwrap())
    }

    /// Issues a client certificate with this common name.
    pub fn client(&self, common_name: &str) -> Identity {
        self.issue(&client_params(common_name), KeyPair::generate().unwrap())
    }

    /// Issues a client certificate that was valid until the end of 2020.
    pub fn expired_client(&self, common_name: &str) -> Identity {
        let mut params = client_params(common_name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 12, 31);
        self.issue(&params, KeyPair::generate().unwrap())
    }

    /// Issues a client certificate whose alternative name differs from its common name.
    pub fn client_with_alternative_name(&self, common_name: &str, alternative: &str) -> Identity {
        let mut params = named(common_name, &[alternative]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&params, KeyPair::generate().unwrap())
    }

    /// Issues a certificate with these parameters.
    pub fn issue(&self, params: &CertificateParams, key: KeyPair) -> Identity {
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::new(certificate.der().clone(), certificate.pem(), &key)
    }
}

impl Identity {
    /// Makes a self-signed client certificate.
    pub fn self_signed_client(common_name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = client_params(common_name).self_signed(&key).unwrap();
        Self::new(certificate.der().clone(), certificate.pem(), &key)
    }

    /// Returns the private key for rustls.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }

    fn new(certificate: CertificateDer<'static>, certificate_pem: String, key: &KeyPair) -> Self {
        let (key, key_pem) = (key.serialize_der(), key.serialize_pem());
        Self {
            certificate,
            certificate_pem,
            key_pem,
            key,
        }
    }
}

/// Returns a TLS client that trusts `root` and offers these versions, certificate and protocols.
pub fn tls_client(
    root: CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
    identity: Option<&Identity>,
    protocols: &[&str],
) -> Arc<ClientConfig> {
    tls_client_of(
        aws_lc_rs::default_provider(),
        root,
        versions,
        identity,
        protocols,
    )
}

/// Returns a TLS client with this cryptography.
pub fn tls_client_of(
    provider: CryptoProvider,
    root: CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
    identity: Option<&Identity>,
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![identity.certificate.clone()];
            builder
                .with_client_auth_cert(chain, identity.key())
                .unwrap()
        }
    };
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Arc::new(config)
}

fn client_params(common_name: &str) -> CertificateParams {
    let mut params = named(common_name, &[common_name]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn named(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}
