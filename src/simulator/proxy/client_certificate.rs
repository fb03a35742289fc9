//! Which client certificate the simulator presents to proxies. AWS deprecates mTLS: today KMS presents one for clients; what it will present
//! later is not known, so each possibility is a kind.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// A kind of client certificate, for `cks.kms.<region>.amazonaws.com` where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientCertificateKind {
    /// For clients, issued by the simulator's CA: as KMS does today.
    ClientAuth,
    /// For servers only, issued by the same CA.
    ServerAuthOnly,
    /// None.
    #[default]
    None,
    /// For clients, issued by a CA that no proxy trusts.
    OtherCa,
    /// For clients, issued by the simulator's CA; it has ended.
    Expired,
}

/// The kind that is presented now. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::simulator) struct Presented(Arc<AtomicU8>);

impl ClientCertificateKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::ClientAuth,
        Self::ServerAuthOnly,
        Self::None,
        Self::OtherCa,
        Self::Expired,
    ];

    /// Its name.
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

    /// The kind of this name.
    ///
    /// # Errors
    /// No kind has this name; the text lists the kinds.
    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        let known = || Self::ALL.map(Self::as_str).join(", ");
        found.ok_or_else(|| format!("{name:?} is not one of: {}", known()))
    }
}

impl Presented {
    /// Presents this kind on connections that begin from now on.
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
            let presented = Presented::default();
            presented.set(kind);
            assert_eq!(presented.get(), kind);
        }
        let error = "x".parse::<ClientCertificateKind>().unwrap_err();
        assert!(error.contains("client-auth, server-auth-only"), "{error}");
    }
}
