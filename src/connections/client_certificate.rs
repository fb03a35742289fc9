//! The result of client authentication of a connection, with the names that log, audit trail, policies and metrics use.

/// The result of client authentication of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// The proxy requested no certificate.
    #[default]
    Off,
    /// The proxy requested a certificate and the client sent none.
    Absent,
    /// Chain, validity, key usage and subject are right, and the client has the private key.
    Verified,
    /// As [`Self::Verified`], except that the certificate is for servers only: it lacks the extended key usage clientAuth.
    ServerAuthOnly,
    /// The client sent a certificate that is not valid for another reason.
    Unverified,
}

impl ClientCertificate {
    /// All results.
    pub const ALL: [Self; 5] = [
        Self::Off,
        Self::Absent,
        Self::Verified,
        Self::ServerAuthOnly,
        Self::Unverified,
    ];

    /// Returns the name of the result.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Absent => "absent",
            Self::Verified => "verified",
            Self::ServerAuthOnly => "server_auth_only",
            Self::Unverified => "unverified",
        }
    }

    /// Returns the result with this name; `None` if no result has it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.as_str() == name)
    }
}
