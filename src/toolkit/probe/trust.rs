//! The authorities that KMS trusts, from a file: AWS's list of fingerprints, or PEM.
//!
//! AWS publishes `TrustedCertificateAuthorities` next to the specification of the API: the name (`Owner:`) and the SHA-256 fingerprint of each
//! root. The list contains no certificates. These come from the presented chain and from the roots of this machine.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::client::authorities;
use crate::kms_certificate::normal_name;

/// Trusted root certificates (DER) and fingerprints.
#[derive(Clone, Debug, Default)]
pub struct TrustedRoots {
    /// The certificates from PEM.
    pub certificates: Vec<Vec<u8>>,
    fingerprints: HashSet<[u8; 32]>,
    owners: HashSet<String>,
}

impl TrustedRoots {
    /// Parses a file: PEM, or lines with SHA-256 fingerprints.
    ///
    /// # Errors
    /// A message for the operator.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut roots = Self {
            certificates: authorities(text.as_bytes()).unwrap_or_default(),
            ..Self::default()
        };
        for session in text.lines() {
            roots.fingerprints.extend(fingerprint(session));
            if let Some(owner) = session.trim().strip_prefix("Owner:") {
                roots.owners.insert(normal_name(owner));
            }
        }
        match roots.certificates.is_empty() && roots.fingerprints.is_empty() {
            true => Err("contains neither a PEM certificate nor a SHA-256 fingerprint"),
            false => Ok(roots),
        }
    }

    /// Returns the trusted ones of these certificates (DER), and the certificates of the file.
    pub fn anchors<'a>(&'a self, others: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        let trusted = others.filter(|der| self.has(der)).map(<[u8]>::to_vec);
        trusted.chain(self.certificates.iter().cloned()).collect()
    }

    /// Returns whether this certificate is trusted.
    fn has(&self, der: &[u8]) -> bool {
        let fingerprint: [u8; 32] = Sha256::digest(der).into();
        self.fingerprints.contains(&fingerprint)
    }

    /// Returns whether a trusted root has this name (as `C=ES, O=ACCV, …`), in any order of its parts.
    pub fn has_name(&self, name: &str) -> bool {
        self.owners.contains(&normal_name(name))
    }

    /// Returns the number of roots.
    pub fn len(&self) -> usize {
        self.certificates.len() + self.fingerprints.len()
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Parses the fingerprint of a line: 64 hexadecimal digits, with or without colons, after any label.
fn fingerprint(session: &str) -> Option<[u8; 32]> {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == ':';
    let parts = session.split(|c: char| !is_part(c));
    // "SHA256:" ends in "256:", but the blank after it separates it from the digits.
    let mut digits = parts.map(|part| part.chars().filter(|c| *c != ':').collect::<String>());
    let found = digits.rfind(|digits| digits.len() == 64)?;
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = found.as_bytes().chunks(2).map(byte).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format of AWS's list, with its stray blanks.
    const LISTING: &str = "Alias name: amazonrootca1\nOwner: CN=Amazon Root CA 1, O=Amazon, C=US\n\
        Issuer: CN=Amazon Root CA 1, O=Amazon, C=US\nCertificate fingerprints:\n\
        \t SHA1: 8D:A7:F9:65:EC:5E:FC:37:91:0F:1C:6E:59:FD:C1:CC:6A:6E:DE:16\n\
        \t SHA256: 8E:CD:E6:88:4F:3D:87:B1:12:5B:A3:1A:C3:FC:B1:3D:70:16:DE:7F:57:CC:90:4F:E1:CB:97:C6:AE:98:19:6E      .7\n\
        **********\n";

    #[test]
    fn the_list_of_aws_is_parsed() {
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
