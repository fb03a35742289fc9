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
            K::XksProxyInvalidResponse,
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
    /// Whether the call is made once more, and how the error is counted (XKS API, section 6).
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

    /// For Encrypt, Decrypt and all that is made of them: only the message tells one from another.
    pub(super) fn of_cryptography(self) -> Exception {
        self.told_as(Some(Kind::KmsInvalidState))
    }

    /// For a store that could not be connected.
    pub(super) fn of_connection(self) -> ConnectionError {
        let code = row(self).connection;
        code.unwrap_or(Code::XksProxyInvalidResponse)
    }

    fn told_as(self, kind: Option<Kind>) -> Exception {
        kind.unwrap_or(Kind::KmsInternal).because(self.message())
    }

    /// In AWS's sense, in our words; `kms-behaviour.md` has the part of each by which operators know it.
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
                "The external key store proxy sent a response that AWS KMS cannot interpret: an invalid response."
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
                "The external key store proxy rejected the request because the external key was not found."
            }
            Self::Named(E::InvalidUriPath) => {
                "The external key store proxy rejected the request because of an invalid URI path: verify the URI path of the custom key store."
            }
            Self::Named(E::UnsupportedOperation) => {
                "The external key store proxy does not support the operation, or a value in it, that AWS KMS needs."
            }
            Self::Named(E::DependencyTimeout) => {
                "The external key store proxy did not respond in the time allotted because the external key manager did not answer it."
            }
            Self::Named(E::Throttling) => {
                "The external key store proxy rejected the request because of a very high request rate. Reduce the frequency of your calls."
            }
            Self::TimedOut => {
                "The external key store proxy did not respond in the time allotted. Retry; if it happens again, report it to the proxy's administrator."
            }
            Self::NotReachable => {
                "AWS KMS could not reach the external key store proxy: there was no connection, or it broke."
            }
            Self::Tls => {
                "AWS KMS could not reach the external key store proxy: a TLS connection could not be established; verify its certificate and TLS configuration."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of kms-behaviour, section 3, as they stand there: names, then store, CreateKey, connection; `-` is a dash.
    const TABLE: &str = "
        ValidationException | XksProxyInvalidResponseException | CustomKeyStoreInvalidStateException | XKS_PROXY_INVALID_RESPONSE
        InternalException | XksProxyInvalidResponseException | CustomKeyStoreInvalidStateException | XKS_PROXY_INVALID_RESPONSE
        invalid_response | XksProxyInvalidResponseException | CustomKeyStoreInvalidStateException | XKS_PROXY_INVALID_RESPONSE
        InvalidStateException | - | XksKeyInvalidConfigurationException | -
        InvalidKeyUsageException | - | XksKeyInvalidConfigurationException | -
        InvalidCiphertextException | - | - | -
        AuthenticationFailedException | XksProxyIncorrectAuthenticationCredentialException | CustomKeyStoreInvalidStateException | INVALID_CREDENTIALS
        AccessDeniedException | - | CustomKeyStoreInvalidStateException | XKS_PROXY_ACCESS_DENIED
        KeyNotFoundException | - | XksKeyNotFoundException | -
        InvalidUriPathException | XksProxyInvalidConfigurationException | CustomKeyStoreInvalidStateException | XKS_PROXY_INVALID_CONFIGURATION
        UnsupportedOperationException | XksProxyInvalidResponseException | XksProxyInvalidResponseException | XKS_PROXY_INVALID_RESPONSE
        DependencyTimeoutException | XksProxyUriUnreachableException | CustomKeyStoreInvalidStateException | XKS_PROXY_TIMED_OUT
        ThrottlingException | XksProxyUriUnreachableException | CustomKeyStoreInvalidStateException | XKS_PROXY_TIMED_OUT
        timeout | XksProxyUriUnreachableException | CustomKeyStoreInvalidStateException | XKS_PROXY_TIMED_OUT
        not_reachable | XksProxyUriUnreachableException | CustomKeyStoreInvalidStateException | XKS_PROXY_NOT_REACHABLE
        tls | XksProxyUriUnreachableException | CustomKeyStoreInvalidStateException | XKS_PROXY_INVALID_TLS_CONFIGURATION";

    fn all() -> Vec<ProxyFault> {
        let named = ErrorName::ALL.map(ProxyFault::Named);
        let others = [
            ProxyFault::InvalidResponse,
            ProxyFault::TimedOut,
            ProxyFault::NotReachable,
            ProxyFault::Tls,
        ];
        named.into_iter().chain(others).collect()
    }

    fn code(code: ConnectionError) -> String {
        serde_json::to_value(code)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn the_table_row_by_row() {
        let rows: Vec<Vec<&str>> = TABLE
            .trim()
            .lines()
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        let all = all();
        assert_eq!(rows.len(), all.len());
        for cells in rows {
            let fault = *all.iter().find(|fault| fault.word() == cells[0]).unwrap();
            let row = row(fault);
            let or_dash = |kind: Option<Kind>| kind.map_or("-", Kind::name);
            assert_eq!(or_dash(row.store), cells[1], "{}", cells[0]);
            assert_eq!(or_dash(row.create_key), cells[2], "{}", cells[0]);
            let connection = row.connection.map_or("-".to_owned(), code);
            assert_eq!(connection, cells[3], "{}", cells[0]);
            let told = fault.of_cryptography();
            assert_eq!(told.kind.name(), "KMSInvalidStateException");
            assert_eq!(told.message, fault.message());
        }
    }

    #[test]
    fn a_dash_is_an_answer_that_fits_nothing() {
        let dash = ProxyFault::Named(ErrorName::InvalidCiphertext);
        assert_eq!(dash.of_store().kind, Kind::XksProxyInvalidResponse);
        assert_eq!(dash.of_new_key().kind, Kind::CustomKeyStoreInvalidState);
        assert_eq!(dash.of_connection(), Code::XksProxyInvalidResponse);
    }

    #[test]
    fn messages_have_the_words_that_operators_know() {
        use ErrorName as E;
        for (fault, words) in [
            (ProxyFault::Named(E::InvalidState), "not enabled"),
            (
                ProxyFault::Named(E::InvalidKeyUsage),
                "does not support the requested operation",
            ),
            (ProxyFault::Named(E::KeyNotFound), "was not found"),
            (
                ProxyFault::Named(E::InvalidCiphertext),
                "corrupted, missing, or otherwise invalid",
            ),
            (
                ProxyFault::Named(E::AuthenticationFailed),
                "could not authenticate AWS KMS",
            ),
            (ProxyFault::Named(E::AccessDenied), "denied access"),
            (ProxyFault::Named(E::InvalidUriPath), "invalid URI path"),
            (ProxyFault::TimedOut, "did not respond in the time allotted"),
            (
                ProxyFault::Named(E::DependencyTimeout),
                "did not respond in the time allotted",
            ),
            (ProxyFault::Named(E::Throttling), "very high request rate"),
            (
                ProxyFault::Named(E::Internal),
                "cannot communicate with the external key manager",
            ),
        ] {
            assert!(fault.message().contains(words), "{fault:?}");
        }
        let mut messages: Vec<_> = all().into_iter().map(ProxyFault::message).collect();
        messages.sort_unstable();
        messages.dedup();
        assert_eq!(messages.len(), 16, "each has its own");
    }

    #[test]
    fn what_is_tried_again() {
        let retried: Vec<_> = all()
            .into_iter()
            .filter(|f| f.is_retryable())
            .map(ProxyFault::word)
            .collect();
        let wanted = [
            "ThrottlingException",
            "InternalException",
            "DependencyTimeoutException",
            "timeout",
            "not_reachable",
        ];
        assert_eq!(retried, wanted);
    }
}
