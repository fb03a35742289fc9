//! TLS to proxies, and the client certificates for `cks.kms.<region>.amazonaws.com`, issued by a CA of the simulator.
//!
//! # Invariants
//! - Private keys are only in files with mode 0600 in the configured directory.
//! - An existing key is never replaced, because proxies trust its certificate.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use crate::client::{ClientIdentity, TlsClient, Trust};
use crate::simulator::proxy::client_certificate::{ClientCertificateKind, PresentedKind};
use crate::simulator::proxy::link::{LinkSettings, ProxyLink, TlsSource};
use crate::sync::poisoned;

/// The file name, without extension, of the CA that proxies trust.
const CA: &str = "ca";

/// The file name, without extension, of the CA that no proxy trusts.
const OTHER_CA: &str = "other-ca";

/// The lifetime of a certificate. It is long because nothing renews it.
const LIFETIME: Duration = Duration::days(3650);

/// The reason for a missing client certificate.
#[derive(Debug, Error)]
pub enum ClientCertificateError {
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// A file is not a key or a certificate of the simulator.
    #[error(
        "{0} is not a key or certificate of this simulator ({1}); move it away, and the simulator creates a new one"
    )]
    Content(PathBuf, String),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// No directory for certificates is configured.
    #[error("a client certificate of the kind {0} needs --identity, a directory for certificates")]
    NoDirectory(ClientCertificateKind),
}

/// TLS from each Region, and the addresses of proxies.
pub(in crate::simulator) struct ProxyTls {
    resolve: HashMap<String, SocketAddr>,
    clients: Arc<TlsClients>,
}

/// TLS for each Region and each kind of client certificate. Each is set up at its first use.
pub(in crate::simulator) struct TlsClients {
    directory: Option<PathBuf>,
    authorities: Vec<Vec<u8>>,
    presented: PresentedKind,
    clients: Mutex<HashMap<(String, ClientCertificateKind), TlsClient>>,
}

impl ProxyTls {
    /// Creates the directory and the CA if they do not exist.
    pub(in crate::simulator) fn prepare(
        directory: Option<PathBuf>,
        authorities: Vec<Vec<u8>>,
        resolve: HashMap<String, SocketAddr>,
        kind: ClientCertificateKind,
    ) -> Result<Self, ClientCertificateError> {
        if let Some(directory) = &directory {
            let clients = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory);
            clients.map_err(|error| ClientCertificateError::File(directory.clone(), error))?;
            authority(directory, CA)?;
        }
        let clients = TlsClients {
            directory,
            authorities,
            presented: PresentedKind::default(),
            clients: Mutex::default(),
        };
        clients.present(kind)?;
        let clients = Arc::new(clients);
        Ok(Self { resolve, clients })
    }

    /// Returns the TLS clients, for reading and changing the kind of client certificate.
    pub(in crate::simulator) fn clients(&self) -> &TlsClients {
        &self.clients
    }

    /// Returns a link to a proxy.
    pub(in crate::simulator) fn link(
        &self,
        link_settings: LinkSettings,
    ) -> Result<ProxyLink, ClientCertificateError> {
        // Report an error now instead of at the first call.
        self.clients.client(&link_settings.region)?;
        let address_override = self.resolve.get(&link_settings.host).copied();
        Ok(ProxyLink::new(
            link_settings,
            Arc::clone(&self.clients) as _,
            address_override,
        ))
    }
}

impl TlsClients {
    /// Presents this kind on new connections.
    ///
    /// # Errors
    /// [`ClientCertificateError::NoDirectory`]: the kind has not changed.
    pub(in crate::simulator) fn present(
        &self,
        kind: ClientCertificateKind,
    ) -> Result<(), ClientCertificateError> {
        if kind != ClientCertificateKind::None && self.directory.is_none() {
            return Err(ClientCertificateError::NoDirectory(kind));
        }
        self.presented.set(kind);
        Ok(())
    }

    /// Returns the kind that is presented now.
    pub(in crate::simulator) fn kind(&self) -> ClientCertificateKind {
        self.presented.get()
    }

    /// Returns the kind that is presented now, and TLS of this Region with it.
    pub(in crate::simulator) fn client(
        &self,
        region: &str,
    ) -> Result<(ClientCertificateKind, TlsClient), ClientCertificateError> {
        let kind = self.kind();
        let mut clients = self.clients.lock().unwrap_or_else(poisoned);
        let place = (region.to_owned(), kind);
        if let Some(client) = clients.get(&place) {
            return Ok((kind, client.clone()));
        }
        let identity = match (kind, &self.directory) {
            (ClientCertificateKind::None, _) => None,
            (_, None) => return Err(ClientCertificateError::NoDirectory(kind)),
            (_, Some(directory)) => Some(identity(directory, region, kind)?),
        };
        let client = TlsClient::new(Trust::PublicAnd(self.authorities.clone()), identity);
        let client = client.map_err(|error| ClientCertificateError::Tls(error.to_string()))?;
        clients.insert(place, client.clone());
        Ok((kind, client))
    }
}

impl TlsSource for TlsClients {
    fn tls(&self, region: &str) -> Option<(ClientCertificateKind, TlsClient)> {
        self.client(region).ok()
    }
}

/// Returns the CA with this file name; creates it if it does not exist.
fn authority(
    directory: &Path,
    name: &str,
) -> Result<Issuer<'static, KeyPair>, ClientCertificateError> {
    let place = |extension: &str| directory.join(format!("{name}.{extension}"));
    let (key_file, file) = (place("key"), place("pem"));
    let key = key(&key_file)?;
    if !file.exists() {
        let mut params = params("kms-simulator client CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(wrong(&file))?;
        write(&file, &certificate.pem(), 0o644)?;
    }
    Issuer::from_ca_cert_pem(&read(&file)?, key).map_err(wrong(&file))
}

/// Returns the certificate of a Region and a kind; creates it if it does not exist.
fn identity(
    directory: &Path,
    region: &str,
    kind: ClientCertificateKind,
) -> Result<ClientIdentity, ClientCertificateError> {
    let name = format!("cks.kms.{region}.amazonaws.com");
    let place = |extension: &str| match kind {
        ClientCertificateKind::ClientAuth => directory.join(format!("{name}.{extension}")),
        _ => directory.join(format!("{name}.{kind}.{extension}")),
    };
    let (key_file, file) = (place("key"), place("pem"));
    let key = key(&key_file)?;
    if !file.exists() {
        let ca = match kind {
            ClientCertificateKind::OtherCa => OTHER_CA,
            _ => CA,
        };
        let certificate = leaf(&name, kind).signed_by(&key, &authority(directory, ca)?);
        write(&file, &certificate.map_err(wrong(&file))?.pem(), 0o644)?;
    }
    let (chain, key) = (read(&file)?, key.serialize_pem());
    let identity = ClientIdentity::from_pem(chain.as_bytes(), key.as_bytes());
    identity.map_err(|error| ClientCertificateError::Content(file, error.to_owned()))
}

fn leaf(name: &str, kind: ClientCertificateKind) -> CertificateParams {
    let mut params = params(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match kind {
        ClientCertificateKind::ServerAuthOnly => vec![ExtendedKeyUsagePurpose::ServerAuth],
        _ => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    if kind == ClientCertificateKind::Expired {
        params.not_after = OffsetDateTime::now_utc() - Duration::hours(1);
    }
    params
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    // The clock of a proxy may be slow.
    let begins = OffsetDateTime::now_utc() - Duration::days(1);
    (params.not_before, params.not_after) = (begins, begins + LIFETIME);
    params
}

/// Returns the key in the file; creates it if it does not exist.
fn key(file: &Path) -> Result<KeyPair, ClientCertificateError> {
    if !file.exists() {
        let key = KeyPair::generate().map_err(wrong(file))?;
        let text = zeroize::Zeroizing::new(key.serialize_pem());
        write(file, &text, 0o600)?;
        return Ok(key);
    }
    let text = zeroize::Zeroizing::new(read(file)?);
    KeyPair::from_pem(&text).map_err(wrong(file))
}

fn read(file: &Path) -> Result<String, ClientCertificateError> {
    fs::read_to_string(file).map_err(|error| ClientCertificateError::File(file.to_owned(), error))
}

/// Writes a file. The file gets its name after it is complete.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), ClientCertificateError> {
    let failed = |error| ClientCertificateError::File(file.to_owned(), error);
    let beside = file.with_extension("new");
    drop(fs::remove_file(&beside));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut opened = options.open(&beside).map_err(failed)?;
    opened.write_all(text.as_bytes()).map_err(failed)?;
    opened.sync_all().map_err(failed)?;
    fs::rename(&beside, file).map_err(failed)
}

fn wrong(file: &Path) -> impl FnOnce(rcgen::Error) -> ClientCertificateError {
    let file = file.to_owned();
    move |error| ClientCertificateError::Content(file, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use x509_parser::pem::parse_x509_pem;

    #[test]
    fn certificates_are_created_once_and_signed_by_the_ca() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("identity");
        let kind = ClientCertificateKind::ClientAuth;
        let prepare = || ProxyTls::prepare(Some(at.clone()), vec![], HashMap::new(), kind).unwrap();
        let make = || prepare().clients().client("eu-west-1").map(drop).unwrap();
        make();
        let name = "cks.kms.eu-west-1.amazonaws.com";
        let leaf = fs::read(at.join(format!("{name}.pem"))).unwrap();
        make();
        assert_eq!(fs::read(at.join(format!("{name}.pem"))).unwrap(), leaf);
        let (ca, leaf) = (
            fs::read(at.join("ca.pem")).unwrap(),
            parse_x509_pem(&leaf).unwrap().1,
        );
        let (ca, leaf) = (parse_x509_pem(&ca).unwrap().1, leaf);
        let (ca, leaf) = (ca.parse_x509().unwrap(), leaf.parse_x509().unwrap());
        assert_eq!(leaf.subject().to_string(), format!("CN={name}"));
        leaf.verify_signature(Some(ca.public_key())).unwrap();
        for key in ["ca.key".to_owned(), format!("{name}.key")] {
            let mode = fs::metadata(at.join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_is_not_a_key_is_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca.key"), "nonsense").unwrap();
        let place = Some(directory.path().to_owned());
        let kind = ClientCertificateKind::None;
        let prepared = ProxyTls::prepare(place, vec![], HashMap::new(), kind);
        let error = prepared.err().unwrap().to_string();
        assert!(error.contains("ca.key"), "{error}");
        assert_eq!(
            fs::read(directory.path().join("ca.key")).unwrap(),
            b"nonsense"
        );
    }

    #[test]
    fn each_kind_of_certificate_needs_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let none = ClientCertificateKind::None;
        let prepare = |place| ProxyTls::prepare(place, vec![], HashMap::new(), none).unwrap();
        let (with, without) = (prepare(Some(directory.path().to_owned())), prepare(None));
        for kind in ClientCertificateKind::ALL {
            with.clients().present(kind).unwrap();
            let (presented, _) = with.clients().client("eu-west-1").unwrap();
            assert_eq!(presented, kind);
            assert_eq!(without.clients().present(kind).is_ok(), kind == none);
            assert_eq!(without.clients().kind(), none);
        }
    }
}
