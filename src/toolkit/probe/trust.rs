//! The authorities that KMS trusts, from a file: AWS's listing of fingerprints, or PEM.
//!
//! AWS publishes `TrustedCertificateAuthorities` beside the specification of the API: for each root its name (`Owner:`) and its SHA-256
//! fingerprint. A fingerprint proves a certificate but is none, so that certificates are taken from elsewhere: from the chain that
//! was presented, and from the roots of this machine.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::client::authorities;
use crate::kms_certificate::normal_name;

/// Root certificates (DER) and fingerprints that are trusted.
#[derive(Clone, Debug, Default)]
pub struct TrustedRoots {
    /// Certificates from PEM.
    pub certificates: Vec<Vec<u8>>,
    fingerprints: HashSet<[u8; 32]>,
    owners: HashSet<String>,
}

impl TrustedRoots {
    /// Reads a file: PEM, or lines with SHA-256 fingerprints.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut roots = Self {
            certificates: authorities(text.as_bytes()).unwrap_or_default(),
            ..Self::default()
        };
        for line in text.lines() {
            roots.fingerprints.extend(fingerprint(line));
            if let Some(owner) = line.trim().strip_prefix("Owner:") {
                roots.owners.insert(normal_name(owner));
            }
        }
        match roots.certificates.is_empty() && roots.fingerprints.is_empty() {
            true => Err("holds neither a PEM certificate nor a SHA-256 fingerprint"),
            false => Ok(roots),
        }
    }

    /// Which of these certificates (DER) are trusted, with those of the file itself.
    pub fn anchors<'a>(&'a self, others: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        let trusted = others.filter(|der| self.has(der)).map(<[u8]>::to_vec);
        trusted.chain(self.certificates.iter().cloned()).collect()
    }

    /// Whether this certificate is one of the trusted.
    fn has(&self, der: &[u8]) -> bool {
        let fingerprint: [u8; 32] = Sha256::digest(der).into();
        self.fingerprints.contains(&fingerprint)
    }

    /// Whether a trusted root has this name (as `C=ES, O=ACCV, …`), in whichever order its parts are written.
    pub fn has_name(&self, name: &str) -> bool {
        self.owners.contains(&normal_name(name))
    }

    /// How many roots there are.
    pub fn len(&self) -> usize {
        self.certificates.len() + self.fingerprints.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The fingerprint of a line: 64 hexadecimal digits, with or without colons, behind whatever names it.
fn fingerprint(line: &str) -> Option<[u8; 32]> {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == ':';
    let parts = line.split(|c: char| !is_part(c));
    // "SHA256:" ends in "256:"; it is a part of its own, because a blank follows.
    let mut digits = parts.map(|part| part.chars().filter(|c| *c != ':').collect::<String>());
    let found = digits.rfind(|digits| digits.len() == 64)?;
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = found.as_bytes().chunks(2).map(byte).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the form of AWS's listing, stray blanks and all.
    const LISTING: &str = "Alias name: amazonrootca1\nOwner: CN=Amazon Root CA 1, O=Amazon, C=US\n\
        Issuer: CN=Amazon Root CA 1, O=Amazon, C=US\nCertificate fingerprints:\n\
        \t SHA1: 8D:A7:F9:65:EC:5E:FC:37:91:0F:1C:6E:59:FD:C1:CC:6A:6E:DE:16\n\
        \t SHA256: 8E:CD:E6:88:4F:3D:87:B1:12:5B:A3:1A:C3:FC:B1:3D:70:16:DE:7F:57:CC:90:4F:E1:CB:97:C6:AE:98:19:6E      .7\n\
        **********\n";

    #[test]
    fn awss_listing() {
        let roots = TrustedRoots::parse(LISTING).unwrap();
        assert_eq!((roots.len(), roots.certificates.len()), (1, 0));
        assert!(roots.has_name("C=US, O=Amazon, CN=Amazon Root CA 1"));
        assert!(!roots.has_name("C=US, O=Amazon, CN=Amazon Root CA 2"));
    }

    #[test]
    fn a_certificate_is_known_by_its_fingerprint() {
        let digest: [u8; 32] = Sha256::digest(b"a certificate").into();
        let hex = crate::hex::encode(&digest);
        let roots = TrustedRoots::parse(&format!("sha256={hex}  my root\n")).unwrap();
        let others = [&b"a certificate"[..], b"another"];
        assert_eq!(
            roots.anchors(others.into_iter()),
            [b"a certificate".to_vec()]
        );
    }

    #[test]
    fn pem() {
        let text = "x\n-----BEGIN CERTIFICATE-----\nAQ\nID\n-----END CERTIFICATE-----\n";
        let roots = TrustedRoots::parse(text).unwrap();
        assert_eq!(roots.certificates, [vec![1, 2, 3]]);
        assert!(TrustedRoots::parse("nothing at all: 12:34").is_err());
    }
}
