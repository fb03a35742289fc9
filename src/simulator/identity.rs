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
use std::sync::Mutex;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use super::link::{Link, Recipe};
use crate::client::{ClientIdentity, TlsClient, Trust};
use crate::sync::poisoned;

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
}

/// TLS as KMS speaks it from each Region.
pub(super) struct Identities {
    directory: Option<PathBuf>,
    authorities: Vec<Vec<u8>>,
    resolve: HashMap<String, SocketAddr>,
    clients: Mutex<HashMap<String, TlsClient>>,
}

impl Identities {
    /// Makes the authority, if there is to be one and it is not there.
    pub(super) fn prepare(
        directory: Option<PathBuf>,
        authorities: Vec<Vec<u8>>,
        resolve: HashMap<String, SocketAddr>,
    ) -> Result<Self, IdentityError> {
        if let Some(directory) = &directory {
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory);
            made.map_err(|error| IdentityError::File(directory.clone(), error))?;
            authority(directory)?;
        }
        Ok(Self {
            directory,
            authorities,
            resolve,
            clients: Mutex::default(),
        })
    }

    /// A way to the proxy.
    pub(super) fn link(&self, recipe: Recipe) -> Result<Link, IdentityError> {
        let tls = self.client(&recipe.region)?;
        let fixed = self.resolve.get(&recipe.host).copied();
        Ok(Link::new(recipe, tls, fixed))
    }

    fn client(&self, region: &str) -> Result<TlsClient, IdentityError> {
        let mut clients = self.clients.lock().unwrap_or_else(poisoned);
        if let Some(client) = clients.get(region) {
            return Ok(client.clone());
        }
        let identity = match &self.directory {
            Some(directory) => Some(identity(directory, region)?),
            None => None,
        };
        let client = TlsClient::new(Trust::PublicAnd(self.authorities.clone()), identity);
        let client = client.map_err(|error| IdentityError::Tls(error.to_string()))?;
        clients.insert(region.to_owned(), client.clone());
        Ok(client)
    }
}

fn authority(directory: &Path) -> Result<Issuer<'static, KeyPair>, IdentityError> {
    let (key_file, file) = (directory.join("ca.key"), directory.join("ca.pem"));
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

/// The certificate of a Region, made if it is not there.
fn identity(directory: &Path, region: &str) -> Result<ClientIdentity, IdentityError> {
    let name = format!("cks.kms.{region}.amazonaws.com");
    let (key_file, file) = (
        directory.join(format!("{name}.key")),
        directory.join(format!("{name}.pem")),
    );
    let key = key(&key_file)?;
    if !file.exists() {
        let mut params = params(&name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, &authority(directory)?);
        write(&file, &certificate.map_err(wrong(&file))?.pem(), 0o644)?;
    }
    let (chain, key) = (read(&file)?, key.serialize_pem());
    let identity = ClientIdentity::from_pem(chain.as_bytes(), key.as_bytes());
    identity.map_err(|error| IdentityError::Content(file, error.to_owned()))
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
        let prepare = || Identities::prepare(Some(at.clone()), vec![], HashMap::new()).unwrap();
        prepare().client("eu-west-1").unwrap();
        let name = "cks.kms.eu-west-1.amazonaws.com";
        let leaf = fs::read(at.join(format!("{name}.pem"))).unwrap();
        prepare().client("eu-west-1").unwrap();
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
        let prepared =
            Identities::prepare(Some(directory.path().to_owned()), vec![], HashMap::new());
        let error = prepared.err().unwrap().to_string();
        assert!(error.contains("ca.key"), "{error}");
        assert_eq!(
            fs::read(directory.path().join("ca.key")).unwrap(),
            b"nonsense"
        );
    }
}
