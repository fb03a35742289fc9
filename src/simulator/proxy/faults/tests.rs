//! The table, row by row.

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
    UnsupportedOperationException | XksProxyInvalidResponseException | CustomKeyStoreInvalidStateException | XKS_PROXY_INVALID_RESPONSE
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
        let told = fault.of_cryptography(false);
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
        (ProxyFault::TimedOut, "did not respond in time"),
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
fn time_outs_are_internal_when_that_is_wanted() {
    for fault in all() {
        let is_internal = fault.of_cryptography(true).kind == Kind::KmsInternal;
        assert_eq!(is_internal, fault == ProxyFault::TimedOut, "{fault:?}");
    }
}

#[test]
fn what_is_tried_again_and_what_is_counted_as_retryable() {
    let again: Vec<_> = all()
        .into_iter()
        .filter(|fault| fault.is_tried_again())
        .map(ProxyFault::word)
        .collect();
    assert_eq!(again, ["timeout", "not_reachable"]);
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
