//! The kind of client certificate that the simulator presents to proxies. Today KMS presents one for client authentication. AWS
//! deprecates mTLS and may present another one or none later, so each possibility is a kind.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// A kind of client certificate. Its common name is `cks.kms.<region>.amazonaws.com`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientCertificateKind {
    /// For client authentication, issued by the CA of the simulator. This corresponds to KMS today.
    ClientAuth,
    /// For server authentication only, issued by the same CA.
    ServerAuthOnly,
    /// No certificate.
    #[default]
    None,
    /// For client authentication, issued by a CA that no proxy trusts.
    OtherCa,
    /// For client authentication, issued by the CA of the simulator, and expired.
    Expired,
}

/// The kind that is presented now. Clones share the value.
#[derive(Clone, Debug, Default)]
pub(in crate::simulator) struct PresentedKind(Arc<AtomicU8>);

impl ClientCertificateKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::ClientAuth,
        Self::ServerAuthOnly,
        Self::None,
        Self::OtherCa,
        Self::Expired,
    ];

    /// Returns the name of the kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientAuth => "client-auth",
            Self::ServerAuthOnly => "server-auth-only",
            Self::None => "none",
            Self::OtherCa => "other-ca",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for ClientCertificateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ClientCertificateKind {
    type Err = String;

    /// Returns the kind with this name.
    ///
    /// # Errors
    /// No kind has this name. The error text lists the kinds.
    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        let known = || Self::ALL.map(Self::as_str).join(", ");
        found.ok_or_else(|| format!("{name:?} is not one of: {}", known()))
    }
}

impl PresentedKind {
    /// Presents this kind on new connections.
    pub(in crate::simulator) fn set(&self, kind: ClientCertificateKind) {
        let mut kinds = ClientCertificateKind::ALL.into_iter();
        let number = kinds.position(|one| one == kind).unwrap_or_default();
        self.0
            .store(u8::try_from(number).unwrap_or_default(), Ordering::SeqCst);
    }

    pub(in crate::simulator) fn get(&self) -> ClientCertificateKind {
        let number = usize::from(self.0.load(Ordering::SeqCst));
        let kinds = ClientCertificateKind::ALL;
        kinds.get(number).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_name_and_can_be_presented() {
        for kind in ClientCertificateKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            let presented = PresentedKind::default();
            presented.set(kind);
            assert_eq!(presented.get(), kind);
        }
        let error = "x".parse::<ClientCertificateKind>().unwrap_err();
        assert!(error.contains("client-auth, server-auth-only"), "{error}");
    }
}
