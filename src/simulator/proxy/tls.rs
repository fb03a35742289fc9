//! The client certificates that KMS presents: `cks.kms.<region>.amazonaws.com`, by an authority of the simulator's own.
//!
//! # Invariants
//! - Private keys are in files of mode 0600, in the directory that was given, and nowhere else.
//! - A key that is there is never made anew: proxies trust it.

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
use crate::simulator::proxy::client_certificate::{ClientCertificateKind, Presented};
use crate::simulator::proxy::link::{Link, Recipe, TlsSource};
use crate::sync::poisoned;

/// The names of the files of the CA that proxies trust.
const CA: &str = "ca";

/// The names of the files of the CA that no proxy trusts.
const OTHER_CA: &str = "other-ca";

/// How long a certificate is good for: a laptop forgets to renew.
const LIFETIME: Duration = Duration::days(3650);

/// Why there is no client certificate.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// A file holds something else.
    #[error(
        "{0} is no key or certificate of this simulator; move it away to have a new one made ({1})"
    )]
    Content(PathBuf, String),
    /// TLS cannot be set up so.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The directory for certificates is missing.
    #[error("a client certificate of the kind {0} needs --identity, a directory for certificates")]
    NoDirectory(ClientCertificateKind),
}

/// TLS as KMS speaks it from each Region.
pub(in crate::simulator) struct Identities {
    resolve: HashMap<String, SocketAddr>,
    clients: Arc<Clients>,
}

/// TLS for each Region and each kind of client certificate.
pub(in crate::simulator) struct Clients {
    directory: Option<PathBuf>,
    authorities: Vec<Vec<u8>>,
    presented: Presented,
    made: Mutex<HashMap<(String, ClientCertificateKind), TlsClient>>,
}

impl Identities {
    /// Makes the authority, if there is to be one and it is not there.
    pub(in crate::simulator) fn prepare(
        directory: Option<PathBuf>,
        authorities: Vec<Vec<u8>>,
        resolve: HashMap<String, SocketAddr>,
        kind: ClientCertificateKind,
    ) -> Result<Self, IdentityError> {
        if let Some(directory) = &directory {
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory);
            made.map_err(|error| IdentityError::File(directory.clone(), error))?;
            authority(directory, CA)?;
        }
        let clients = Clients {
            directory,
            authorities,
            presented: Presented::default(),
            made: Mutex::default(),
        };
        clients.present(kind)?;
        let clients = Arc::new(clients);
        Ok(Self { resolve, clients })
    }

    /// Which kind of client certificate is presented, and its change.
    pub(in crate::simulator) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// A way to the proxy.
    pub(in crate::simulator) fn link(&self, recipe: Recipe) -> Result<Link, IdentityError> {
        // An error that would come with the first call comes now.
        self.clients.client(&recipe.region)?;
        let fixed = self.resolve.get(&recipe.host).copied();
        Ok(Link::new(recipe, Arc::clone(&self.clients) as _, fixed))
    }
}

impl Clients {
    /// Presents this kind on connections that begin from now on.
    ///
    /// # Errors
    /// [`IdentityError::NoDirectory`]; nothing has changed then.
    pub(in crate::simulator) fn present(
        &self,
        kind: ClientCertificateKind,
    ) -> Result<(), IdentityError> {
        if kind != ClientCertificateKind::None && self.directory.is_none() {
            return Err(IdentityError::NoDirectory(kind));
        }
        self.presented.set(kind);
        Ok(())
    }

    /// The kind that is presented now.
    pub(in crate::simulator) fn kind(&self) -> ClientCertificateKind {
        self.presented.get()
    }

    /// TLS of this Region with the kind that is presented now, which is named, too.
    pub(in crate::simulator) fn client(
        &self,
        region: &str,
    ) -> Result<(ClientCertificateKind, TlsClient), IdentityError> {
        let kind = self.kind();
        let mut made = self.made.lock().unwrap_or_else(poisoned);
        let place = (region.to_owned(), kind);
        if let Some(client) = made.get(&place) {
            return Ok((kind, client.clone()));
        }
        let identity = match (kind, &self.directory) {
            (ClientCertificateKind::None, _) => None,
            (_, None) => return Err(IdentityError::NoDirectory(kind)),
            (_, Some(directory)) => Some(identity(directory, region, kind)?),
        };
        let client = TlsClient::new(Trust::PublicAnd(self.authorities.clone()), identity);
        let client = client.map_err(|error| IdentityError::Tls(error.to_string()))?;
        made.insert(place, client.clone());
        Ok((kind, client))
    }
}

impl TlsSource for Clients {
    fn tls(&self, region: &str) -> Option<(ClientCertificateKind, TlsClient)> {
        self.client(region).ok()
    }
}

/// The CA of this name in the directory, made if it is not there.
fn authority(directory: &Path, name: &str) -> Result<Issuer<'static, KeyPair>, IdentityError> {
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

/// The certificate of a Region and a kind, made if it is not there.
fn identity(
    directory: &Path,
    region: &str,
    kind: ClientCertificateKind,
) -> Result<ClientIdentity, IdentityError> {
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
    identity.map_err(|error| IdentityError::Content(file, error.to_owned()))
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
    // A clock may be a little behind.
    let begins = OffsetDateTime::now_utc() - Duration::days(1);
    (params.not_before, params.not_after) = (begins, begins + LIFETIME);
    params
}

/// The key in the file, made if there is none.
fn key(file: &Path) -> Result<KeyPair, IdentityError> {
    if !file.exists() {
        let key = KeyPair::generate().map_err(wrong(file))?;
        let text = zeroize::Zeroizing::new(key.serialize_pem());
        write(file, &text, 0o600)?;
        return Ok(key);
    }
    let text = zeroize::Zeroizing::new(read(file)?);
    KeyPair::from_pem(&text).map_err(wrong(file))
}

fn read(file: &Path) -> Result<String, IdentityError> {
    fs::read_to_string(file).map_err(|error| IdentityError::File(file.to_owned(), error))
}

/// Nothing is there by halves: the file gets its name when it is whole.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), IdentityError> {
    let failed = |error| IdentityError::File(file.to_owned(), error);
    let beside = file.with_extension("new");
    drop(fs::remove_file(&beside));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut opened = options.open(&beside).map_err(failed)?;
    opened.write_all(text.as_bytes()).map_err(failed)?;
    opened.sync_all().map_err(failed)?;
    fs::rename(&beside, file).map_err(failed)
}

fn wrong(file: &Path) -> impl FnOnce(rcgen::Error) -> IdentityError {
    let file = file.to_owned();
    move |error| IdentityError::Content(file, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use x509_parser::pem::parse_x509_pem;

    #[test]
    fn certificates_are_made_once_and_chain_to_the_authority() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("identity");
        let kind = ClientCertificateKind::ClientAuth;
        let prepare =
            || Identities::prepare(Some(at.clone()), vec![], HashMap::new(), kind).unwrap();
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
    fn what_is_no_key_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca.key"), "nonsense").unwrap();
        let place = Some(directory.path().to_owned());
        let kind = ClientCertificateKind::None;
        let prepared = Identities::prepare(place, vec![], HashMap::new(), kind);
        let error = prepared.err().unwrap().to_string();
        assert!(error.contains("ca.key"), "{error}");
        assert_eq!(
            fs::read(directory.path().join("ca.key")).unwrap(),
            b"nonsense"
        );
    }

    #[test]
    fn each_kind_is_made_and_needs_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let none = ClientCertificateKind::None;
        let prepare = |place| Identities::prepare(place, vec![], HashMap::new(), none).unwrap();
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
