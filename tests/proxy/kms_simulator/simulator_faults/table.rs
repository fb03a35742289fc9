//! The exceptions for each response of a proxy: section 3 of kms-behaviour, with the messages of the troubleshooting guide of AWS.

use super::fake_proxy::{Act, error_response};

/// A row of the table.
pub struct Row {
    /// The behaviour of the proxy.
    pub behaviour: &'static str,
    /// The reaction of the fake proxy.
    pub act: fn() -> Act,
    /// The exception of CreateCustomKeyStore and UpdateCustomKeyStore; none if GetHealthStatus cannot have the response.
    pub store: Option<&'static str>,
    /// The exception of CreateKey.
    pub key: Option<&'static str>,
    /// A part of the message of the KMSInvalidStateException of cryptographic operations.
    pub message: &'static str,
    /// The possible error codes of ConnectCustomKeyStore.
    pub codes: &'static [&'static str],
}

const UNCLEAR: &str = "cannot interpret the response";
const UNREACHABLE: Option<&str> = Some("XksProxyUriUnreachableException");
const STORE_STATE: Option<&str> = Some("CustomKeyStoreInvalidStateException");
const RESPONSE: Option<&str> = Some("XksProxyInvalidResponseException");
const KEY: Option<&str> = Some("XksKeyInvalidConfigurationException");

/// The rows with an `errorName` of the specification.
pub const ERRORS: [Row; 12] = [
    Row {
        behaviour: "ValidationException",
        act: || error_response(400, "ValidationException"),
        store: RESPONSE,
        key: STORE_STATE,
        message: "external key store proxy",
        codes: &["XKS_PROXY_INVALID_RESPONSE"],
    },
    Row {
        behaviour: "InternalException",
        act: || error_response(500, "InternalException"),
        store: RESPONSE,
        key: STORE_STATE,
        message: "cannot communicate with the external key manager",
        codes: &["XKS_PROXY_INVALID_RESPONSE"],
    },
    Row {
        behaviour: "InvalidStateException",
        act: || error_response(400, "InvalidStateException"),
        store: None,
        key: KEY,
        message: "not enabled",
        codes: &[],
    },
    Row {
        behaviour: "InvalidKeyUsageException",
        act: || error_response(400, "InvalidKeyUsageException"),
        store: None,
        key: KEY,
        message: "does not support the requested operation",
        codes: &[],
    },
    Row {
        behaviour: "InvalidCiphertextException",
        act: || error_response(400, "InvalidCiphertextException"),
        store: None,
        key: None,
        message: "corrupted, missing, or otherwise invalid",
        codes: &[],
    },
    Row {
        behaviour: "AuthenticationFailedException",
        act: || error_response(401, "AuthenticationFailedException"),
        store: Some("XksProxyIncorrectAuthenticationCredentialException"),
        key: STORE_STATE,
        message: "could not authenticate AWS KMS",
        codes: &["INVALID_CREDENTIALS"],
    },
    Row {
        behaviour: "AccessDeniedException",
        act: || error_response(403, "AccessDeniedException"),
        store: None,
        key: STORE_STATE,
        message: "denied access",
        codes: &["XKS_PROXY_ACCESS_DENIED"],
    },
    Row {
        behaviour: "KeyNotFoundException",
        act: || error_response(404, "KeyNotFoundException"),
        store: None,
        key: Some("XksKeyNotFoundException"),
        message: "could not find the external key",
        codes: &[],
    },
    Row {
        behaviour: "InvalidUriPathException",
        act: || error_response(404, "InvalidUriPathException"),
        store: Some("XksProxyInvalidConfigurationException"),
        key: STORE_STATE,
        message: "invalid URI path",
        codes: &["XKS_PROXY_INVALID_CONFIGURATION"],
    },
    Row {
        behaviour: "UnsupportedOperationException",
        act: || error_response(501, "UnsupportedOperationException"),
        store: RESPONSE,
        key: STORE_STATE,
        message: "does not support the requested cryptographic operation",
        codes: &["XKS_PROXY_INVALID_RESPONSE"],
    },
    Row {
        behaviour: "DependencyTimeoutException",
        act: || error_response(503, "DependencyTimeoutException"),
        store: UNREACHABLE,
        key: STORE_STATE,
        message: "in the time allotted",
        codes: &["XKS_PROXY_TIMED_OUT"],
    },
    Row {
        behaviour: "ThrottlingException",
        act: || error_response(429, "ThrottlingException"),
        store: UNREACHABLE,
        key: STORE_STATE,
        message: "very high request rate",
        codes: &["XKS_PROXY_NOT_REACHABLE", "XKS_PROXY_TIMED_OUT"],
    },
];

/// Returns the row for a response that violates the XKS API.
pub const fn malformed(behaviour: &'static str, act: fn() -> Act) -> Row {
    Row {
        behaviour,
        act,
        store: RESPONSE,
        key: STORE_STATE,
        message: UNCLEAR,
        codes: &["XKS_PROXY_INVALID_RESPONSE"],
    }
}

fn response(status: u16, kind: &'static str, body: &[u8]) -> Act {
    Act::Say(status, vec![("content-type", kind)], body.to_vec())
}

const JSON: &str = "application/json";
const PAGE: &[u8] = b"<html><body>It works!</body></html>";
const ELSEWHERE: (&str, &str) = ("location", "https://second.test/kms/xks/v1/health");

/// The responses of broken servers and of servers of another kind.
pub const MALFORMED: [Row; 9] = [
    malformed("a page", || response(200, "text/html", PAGE)),
    malformed("a gateway's page", || response(502, "text/html", PAGE)),
    malformed("JSON cut off", || {
        response(200, JSON, b"{\"ciphertext\": \"AAA")
    }),
    malformed("nothing", || response(200, JSON, b"")),
    malformed("a list", || response(200, JSON, b"[]")),
    malformed("no field of it", || response(200, JSON, b"{}")),
    malformed("an error in a 200", || {
        response(200, JSON, b"{\"errorName\": \"ThrottlingException\"}")
    }),
    malformed("an error that nobody knows", || {
        response(400, JSON, b"{\"errorName\": \"TeapotException\"}")
    }),
    malformed("a redirect", || Act::Say(302, vec![ELSEWHERE], Vec::new())),
];

/// The row for a proxy that is down, or that closes the connection without a response.
pub const ABSENT: Row = Row {
    behaviour: "nobody",
    act: || Act::Close,
    store: UNREACHABLE,
    key: STORE_STATE,
    message: "cannot communicate with the external key store proxy",
    codes: &["XKS_PROXY_NOT_REACHABLE", "XKS_PROXY_TIMED_OUT"],
};

/// The row for a proxy that never responds.
pub const SILENT: Row = Row {
    behaviour: "no answer",
    act: || Act::Hang,
    store: UNREACHABLE,
    key: STORE_STATE,
    message: "did not respond in time",
    codes: &["XKS_PROXY_TIMED_OUT"],
};

/// The row for a proxy with a wrong TLS configuration.
pub const BAD_TLS: Row = Row {
    behaviour: "TLS that is not right",
    act: || Act::Answer,
    store: UNREACHABLE,
    key: STORE_STATE,
    message: "TLS",
    codes: &["XKS_PROXY_INVALID_TLS_CONFIGURATION"],
};
