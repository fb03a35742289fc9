//! The result of client authentication of a connection, under the names that log, audit trail, policy and metrics use.

/// What a connection has shown of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// The proxy requested no certificate.
    #[default]
    Off,
    /// The client was asked for a certificate and sent none.
    Absent,
    /// Chain, validity, key usage and subject are right, and the client has the private key.
    Verified,
    /// The same, except that the certificate is for servers only: it lacks the extended key usage clientAuth.
    ServerAuthOnly,
    /// The client sent a certificate that is wrong in another way.
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

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Absent => "absent",
            Self::Verified => "verified",
            Self::ServerAuthOnly => "server_auth_only",
            Self::Unverified => "unverified",
        }
    }

    /// The result of this name; none if no result has it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.as_str() == name)
    }
}
