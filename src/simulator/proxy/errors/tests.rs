//! The rows of the table.

use super::*;

/// The rows of kms-behaviour, section 3: error, store operations, CreateKey, connection. `-` stands for a dash.
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
    UnsupportedOperationException | XksProxyInvalidResponseException | CustomKeyStoreInvalidStateException | XKS_PROXY_INVALID_RESPONSE
    DependencyTimeoutException | XksProxyUriUnreachableException | CustomKeyStoreInvalidStateException | XKS_PROXY_TIMED_OUT
    ThrottlingException | XksProxyUriUnreachableException | CustomKeyStoreInvalidStateException | XKS_PROXY_TIMED_OUT
    timeout | XksProxyUriUnreachableException | CustomKeyStoreInvalidStateException | XKS_PROXY_TIMED_OUT
    not_reachable | XksProxyUriUnreachableException | CustomKeyStoreInvalidStateException | XKS_PROXY_NOT_REACHABLE
    tls | XksProxyUriUnreachableException | CustomKeyStoreInvalidStateException | XKS_PROXY_INVALID_TLS_CONFIGURATION";

fn all() -> Vec<ProxyError> {
    let named = ErrorName::ALL.map(ProxyError::Named);
    let others = [
        ProxyError::InvalidResponse,
        ProxyError::TimedOut,
        ProxyError::NotReachable,
        ProxyError::Tls,
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
fn each_error_has_the_exceptions_of_the_table() {
    let rows: Vec<Vec<&str>> = TABLE
        .trim()
        .lines()
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let all = all();
    assert_eq!(rows.len(), all.len());
    for cells in rows {
        let error = *all.iter().find(|error| error.label() == cells[0]).unwrap();
        let expected = row(error);
        let or_dash = |kind: Option<ExceptionKind>| kind.map_or("-", ExceptionKind::name);
        assert_eq!(or_dash(expected.store), cells[1], "{}", cells[0]);
        assert_eq!(or_dash(expected.create_key), cells[2], "{}", cells[0]);
        let connection = expected.connection.map_or("-".to_owned(), code);
        assert_eq!(connection, cells[3], "{}", cells[0]);
        let exception = error.for_cryptography(false);
        assert_eq!(exception.kind.name(), "KMSInvalidStateException");
        assert_eq!(exception.message, row(error).message);
    }
}

#[test]
fn an_unexpected_error_is_an_invalid_response() {
    let dash = ProxyError::Named(ErrorName::InvalidCiphertext);
    assert_eq!(
        dash.for_store().kind,
        ExceptionKind::XksProxyInvalidResponse
    );
    assert_eq!(
        dash.for_new_key().kind,
        ExceptionKind::CustomKeyStoreInvalidState
    );
    assert_eq!(dash.for_connection(), Code::XksProxyInvalidResponse);
}

#[test]
fn messages_have_the_documented_parts() {
    use ErrorName as E;
    for (error, words) in [
        (ProxyError::Named(E::InvalidState), "not enabled"),
        (
            ProxyError::Named(E::InvalidKeyUsage),
            "does not support the requested operation",
        ),
        (ProxyError::Named(E::KeyNotFound), "was not found"),
        (
            ProxyError::Named(E::InvalidCiphertext),
            "corrupted, missing, or otherwise invalid",
        ),
        (
            ProxyError::Named(E::AuthenticationFailed),
            "could not authenticate AWS KMS",
        ),
        (ProxyError::Named(E::AccessDenied), "denied access"),
        (ProxyError::Named(E::InvalidUriPath), "invalid URI path"),
        (ProxyError::TimedOut, "did not respond in time"),
        (
            ProxyError::Named(E::DependencyTimeout),
            "did not respond in the time allotted",
        ),
        (ProxyError::Named(E::Throttling), "very high request rate"),
        (
            ProxyError::Named(E::Internal),
            "cannot communicate with the external key manager",
        ),
    ] {
        assert!(row(error).message.contains(words), "{error:?}");
    }
    let mut messages: Vec<_> = all().into_iter().map(|error| row(error).message).collect();
    messages.sort_unstable();
    messages.dedup();
    assert_eq!(messages.len(), 16, "each message is different");
}

#[test]
fn only_time_outs_can_be_internal_exceptions() {
    for error in all() {
        let is_internal = error.for_cryptography(true).kind == ExceptionKind::KmsInternal;
        assert_eq!(is_internal, error == ProxyError::TimedOut, "{error:?}");
    }
}

#[test]
fn retried_and_retryable_errors() {
    let again: Vec<_> = all()
        .into_iter()
        .filter(|error| error.is_retried())
        .map(ProxyError::label)
        .collect();
    assert_eq!(again, ["timeout", "not_reachable"]);
    let retried: Vec<_> = all()
        .into_iter()
        .filter(|f| f.is_retryable())
        .map(ProxyError::label)
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
