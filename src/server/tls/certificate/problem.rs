//! The problems of a server certificate because of which KMS would reject it.

/// The kind of a problem because of which KMS would reject a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// Its validity has ended.
    Expired,
    /// Its validity has not begun.
    NotYetValid,
    /// The certificates are not in order, do not belong together, or one is missing.
    Chain,
    /// The subject's common name is missing, or not among the alternative names.
    CommonName,
    /// The common name does not cover one of the host names that KMS calls.
    PublicNames,
    /// It does not allow server authentication.
    ExtendedKeyUsage,
}

/// A problem of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateProblem {
    /// The kind, for metrics.
    pub kind: ProblemKind,
    /// The problem and its fix, for the operator.
    pub text: String,
}

impl ProblemKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Expired,
        Self::NotYetValid,
        Self::Chain,
        Self::CommonName,
        Self::PublicNames,
        Self::ExtendedKeyUsage,
    ];

    /// Returns the value of the metric label `problem`.
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

    /// Returns a problem with this type and this text.
    pub(in crate::server) fn problem(self, text: impl Into<String>) -> CertificateProblem {
        let text = text.into();
        CertificateProblem { kind: self, text }
    }
}
