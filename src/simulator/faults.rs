//! From the proxy's answer to the caller's exception: the one table (kms-behaviour, section 3), without a default.

use serde::{Deserialize, Serialize};

use super::exception::{Exception, Kind};
use crate::xks::ErrorName;

/// Why a call to a proxy gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyFault {
    /// One of the API's errors.
    Named(ErrorName),
    /// An answer that is none of this API: HTML, broken JSON, a redirect, a ciphertext of the wrong length, a wrong CDIV.
    InvalidResponse,
    /// Nothing in time.
    TimedOut,
    /// No connection, or one that broke.
    NotReachable,
    /// No TLS session.
    Tls,
}

/// Why a store could not be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ConnectionError {
    InvalidCredentials,
    XksProxyAccessDenied,
    XksProxyInvalidConfiguration,
    XksProxyInvalidResponse,
    XksProxyInvalidTlsConfiguration,
    XksProxyNotReachable,
    XksProxyTimedOut,
}

/// What a fault becomes. Where AWS names nothing, because the operation cannot have this fault, the answer was no answer to what was
/// asked: [`Row::UNEXPECTED`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    /// Of CreateCustomKeyStore and UpdateCustomKeyStore.
    store: Option<Kind>,
    /// Of CreateKey.
    create_key: Option<Kind>,
    /// Of ConnectCustomKeyStore, in the end.
    connection: Option<ConnectionError>,
}

use ConnectionError as Code;

impl Row {
    const UNEXPECTED: Self = Self::of(
        Kind::XksProxyInvalidResponse,
        Kind::CustomKeyStoreInvalidState,
        Code::XksProxyInvalidResponse,
    );

    const fn of(store: Kind, create_key: Kind, connection: Code) -> Self {
        Self {
            store: Some(store),
            create_key: Some(create_key),
            connection: Some(connection),
        }
    }

    const fn of_keys(create_key: Option<Kind>) -> Self {
        Self {
            store: None,
            create_key,
            connection: None,
        }
    }
}

/// The table.
fn row(fault: ProxyFault) -> Row {
    use ErrorName as E;
    use Kind as K;
    let unusable = K::CustomKeyStoreInvalidState;
    let unreachable = |code| Row::of(K::XksProxyUriUnreachable, unusable, code);
    match fault {
        ProxyFault::Named(E::Validation | E::Internal) | ProxyFault::InvalidResponse => {
            Row::UNEXPECTED
        }
        ProxyFault::Named(E::InvalidState | E::InvalidKeyUsage) => {
            Row::of_keys(Some(K::XksKeyInvalidConfiguration))
        }
        ProxyFault::Named(E::InvalidCiphertext) => Row::of_keys(None),
        ProxyFault::Named(E::AuthenticationFailed) => Row::of(
            K::XksProxyIncorrectCredential,
            unusable,
            Code::InvalidCredentials,
        ),
        ProxyFault::Named(E::AccessDenied) => Row {
            store: None,
            create_key: Some(unusable),
            connection: Some(Code::XksProxyAccessDenied),
        },
        ProxyFault::Named(E::KeyNotFound) => Row::of_keys(Some(K::XksKeyNotFound)),
        ProxyFault::Named(E::InvalidUriPath) => Row::of(
            K::XksProxyInvalidConfiguration,
            unusable,
            Code::XksProxyInvalidConfiguration,
        ),
        ProxyFault::Named(E::UnsupportedOperation) => Row::of(
            K::XksProxyInvalidResponse,
            unusable,
            Code::XksProxyInvalidResponse,
        ),
        ProxyFault::Named(E::DependencyTimeout | E::Throttling) | ProxyFault::TimedOut => {
            unreachable(Code::XksProxyTimedOut)
        }
        ProxyFault::NotReachable => unreachable(Code::XksProxyNotReachable),
        ProxyFault::Tls => unreachable(Code::XksProxyInvalidTlsConfiguration),
    }
}

impl ProxyFault {
    /// Whether the call is made once more: KMS does so when the network gave no answer, and takes any answer for one (XKS API, section 1).
    pub(super) fn is_tried_again(self) -> bool {
        match self {
            Self::TimedOut | Self::NotReachable => true,
            Self::Named(_) | Self::InvalidResponse | Self::Tls => false,
        }
    }

    /// How the error is counted: whether the same request may succeed at another time (XKS API, section 6).
    pub(super) fn is_retryable(self) -> bool {
        match self {
            Self::Named(name) => name.is_retryable(),
            Self::TimedOut | Self::NotReachable => true,
            Self::InvalidResponse | Self::Tls => false,
        }
    }

    /// One word for it, of a bounded set.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Named(name) => name.as_str(),
            Self::InvalidResponse => "invalid_response",
            Self::TimedOut => "timeout",
            Self::NotReachable => "not_reachable",
            Self::Tls => "tls",
        }
    }

    /// For CreateCustomKeyStore and UpdateCustomKeyStore.
    pub(super) fn of_store(self) -> Exception {
        let kind = row(self).store.or(Row::UNEXPECTED.store);
        self.told_as(kind)
    }

    /// For CreateKey.
    pub(super) fn of_new_key(self) -> Exception {
        let kind = row(self).create_key.or(Row::UNEXPECTED.create_key);
        self.told_as(kind)
    }

    /// For Encrypt, Decrypt and all that is made of them: only the message tells one from another. KMS reports a time-out at times as a
    /// KMSInternalException.
    pub(super) fn of_cryptography(self, is_internal: bool) -> Exception {
        match self {
            Self::TimedOut if is_internal => self.told_as(Some(Kind::KmsInternal)),
            _ => self.told_as(Some(Kind::KmsInvalidState)),
        }
    }

    /// For a store that could not be connected.
    pub(super) fn of_connection(self) -> ConnectionError {
        let code = row(self).connection;
        code.unwrap_or(Code::XksProxyInvalidResponse)
    }

    fn told_as(self, kind: Option<Kind>) -> Exception {
        kind.unwrap_or(Kind::KmsInternal).because(self.message())
    }

    /// The sense is that of AWS, the words are our own: `deploy/troubleshoot.md` has the part by which operators recognize each message.
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn message(self) -> &'static str {
        use ErrorName as E;
        match self {
            Self::Named(E::Validation) => {
                "The external key store proxy rejected the request of AWS KMS as malformed, which KMS takes for an invalid response."
            }
            Self::Named(E::Internal) => {
                "The external key store proxy cannot communicate with the external key manager, or has failed itself."
            }
            Self::InvalidResponse => {
                "AWS KMS cannot interpret the response of the external key store proxy."
            }
            Self::Named(E::InvalidState) => {
                "The external key store proxy rejected the request because the external key is not enabled in its external key manager."
            }
            Self::Named(E::InvalidKeyUsage) => {
                "The external key store proxy rejected the request because the external key does not support the requested operation."
            }
            Self::Named(E::InvalidCiphertext) => {
                "The external key store proxy rejected the request because the ciphertext or encryption context is corrupted, missing, or otherwise invalid."
            }
            Self::Named(E::AuthenticationFailed) => {
                "The external key store proxy could not authenticate AWS KMS: verify the proxy authentication credential of the custom key store."
            }
            Self::Named(E::AccessDenied) => {
                "The external key store proxy denied access to the operation: its authorization policy says so."
            }
            Self::Named(E::KeyNotFound) => {
                "The external key store proxy could not find the external key: it was not found under the external key ID of the KMS key."
            }
            Self::Named(E::InvalidUriPath) => {
                "The external key store proxy rejected the request because of an invalid URI path: verify the URI path of the custom key store."
            }
            Self::Named(E::UnsupportedOperation) => {
                "The external key store proxy does not support the requested cryptographic operation, or a value in it."
            }
            Self::Named(E::DependencyTimeout) => {
                "The external key store proxy did not respond in the time allotted because the external key manager did not answer it."
            }
            Self::Named(E::Throttling) => {
                "The external key store proxy rejected the request because of a very high request rate. Reduce the frequency of your calls."
            }
            // KMS's own words: the EKS encryption provider looks for them.
            Self::TimedOut => {
                "AWS KMS rejected the request because the external key store proxy did not respond in time. Retry the request. If you see this error repeatedly, report it to your external key store proxy administrator."
            }
            Self::NotReachable => {
                "AWS KMS cannot communicate with the external key store proxy: there was no connection, or it broke."
            }
            Self::Tls => {
                "AWS KMS cannot communicate with the external key store proxy: no TLS connection could be established; verify its certificate and TLS configuration."
            }
        }
    }
}

#[cfg(test)]
mod tests;
