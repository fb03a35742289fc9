//! Why KMS would not accept a certificate.

/// Why KMS would not accept a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// Its end has passed.
    Expired,
    /// Its begin has not come.
    NotYetValid,
    /// The certificates are not in order, do not belong together, or one is missing.
    Chain,
    /// The subject's common name is missing, or not among the alternative names.
    CommonName,
    /// The common name does not cover a name that KMS calls.
    PublicNames,
    /// It is not for servers.
    ExtendedKeyUsage,
}

/// A problem of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateProblem {
    /// By which it is counted.
    pub kind: ProblemKind,
    /// The problem and its remedy, for an operator.
    pub text: String,
}

impl ProblemKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Expired,
        Self::NotYetValid,
        Self::Chain,
        Self::CommonName,
        Self::PublicNames,
        Self::ExtendedKeyUsage,
    ];

    /// Its name, for labels of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Chain => "chain",
            Self::CommonName => "common_name",
            Self::PublicNames => "public_names",
            Self::ExtendedKeyUsage => "extended_key_usage",
        }
    }

    pub(in crate::server) fn problem(self, text: impl Into<String>) -> CertificateProblem {
        let text = text.into();
        CertificateProblem { kind: self, text }
    }
}
