//! What each answer of a proxy becomes: section 3 of the contract on KMS's behaviour, with the messages of AWS's own
//! troubleshooting guide.

use super::fake_proxy::{Act, refusal};

/// One row.
pub struct Row {
    /// What the proxy does.
    pub what: &'static str,
    /// The same as an act.
    pub act: fn() -> Act,
    /// The exception of CreateCustomKeyStore and UpdateCustomKeyStore; none where GetHealthStatus has no such answer.
    pub store: Option<&'static str>,
    /// The exception of CreateKey.
    pub key: Option<&'static str>,
    /// A part of the message of the KMSInvalidStateException that a cryptographic operation gets.
    pub message: &'static str,
    /// The codes with which connecting may fail.
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
        what: "ValidationException",
        act: || refusal(400, "ValidationException"),
        store: RESPONSE,
        key: STORE_STATE,
        message: "external key store proxy",
        codes: &["XKS_PROXY_INVALID_RESPONSE"],
    },
    Row {
        what: "InternalException",
        act: || refusal(500, "InternalException"),
        store: RESPONSE,
        key: STORE_STATE,
        message: "cannot communicate with the external key manager",
        codes: &["XKS_PROXY_INVALID_RESPONSE"],
    },
    Row {
        what: "InvalidStateException",
        act: || refusal(400, "InvalidStateException"),
        store: None,
        key: KEY,
        message: "not enabled",
        codes: &[],
    },
    Row {
        what: "InvalidKeyUsageException",
        act: || refusal(400, "InvalidKeyUsageException"),
        store: None,
        key: KEY,
        message: "does not support the requested operation",
        codes: &[],
    },
    Row {
        what: "InvalidCiphertextException",
        act: || refusal(400, "InvalidCiphertextException"),
        store: None,
        key: None,
        message: "corrupted, missing, or otherwise invalid",
        codes: &[],
    },
    Row {
        what: "AuthenticationFailedException",
        act: || refusal(401, "AuthenticationFailedException"),
        store: Some("XksProxyIncorrectAuthenticationCredentialException"),
        key: STORE_STATE,
        message: "could not authenticate AWS KMS",
        codes: &["INVALID_CREDENTIALS"],
    },
    Row {
        what: "AccessDeniedException",
        act: || refusal(403, "AccessDeniedException"),
        store: None,
        key: STORE_STATE,
        message: "denied access",
        codes: &["XKS_PROXY_ACCESS_DENIED"],
    },
    Row {
        what: "KeyNotFoundException",
        act: || refusal(404, "KeyNotFoundException"),
        store: None,
        key: Some("XksKeyNotFoundException"),
        message: "could not find the external key",
        codes: &[],
    },
    Row {
        what: "InvalidUriPathException",
        act: || refusal(404, "InvalidUriPathException"),
        store: Some("XksProxyInvalidConfigurationException"),
        key: STORE_STATE,
        message: "invalid URI path",
        codes: &["XKS_PROXY_INVALID_CONFIGURATION"],
    },
    Row {
        what: "UnsupportedOperationException",
        act: || refusal(501, "UnsupportedOperationException"),
        store: RESPONSE,
        key: STORE_STATE,
        message: "does not support the requested cryptographic operation",
        codes: &["XKS_PROXY_INVALID_RESPONSE"],
    },
    Row {
        what: "DependencyTimeoutException",
        act: || refusal(503, "DependencyTimeoutException"),
        store: UNREACHABLE,
        key: STORE_STATE,
        message: "in the time allotted",
        codes: &["XKS_PROXY_TIMED_OUT"],
    },
    Row {
        what: "ThrottlingException",
        act: || refusal(429, "ThrottlingException"),
        store: UNREACHABLE,
        key: STORE_STATE,
        message: "very high request rate",
        codes: &["XKS_PROXY_NOT_REACHABLE", "XKS_PROXY_TIMED_OUT"],
    },
];

/// The row of what is no answer of the specification.
pub const fn malformed(what: &'static str, act: fn() -> Act) -> Row {
    Row {
        what,
        act,
        store: RESPONSE,
        key: STORE_STATE,
        message: UNCLEAR,
        codes: &["XKS_PROXY_INVALID_RESPONSE"],
    }
}

fn said(status: u16, kind: &'static str, body: &[u8]) -> Act {
    Act::Say(status, vec![("content-type", kind)], body.to_vec())
}

const JSON: &str = "application/json";
const PAGE: &[u8] = b"<html><body>It works!</body></html>";
const ELSEWHERE: (&str, &str) = ("location", "https://second.test/kms/xks/v1/health");

/// What a broken or foreign server says.
pub const MALFORMED: [Row; 9] = [
    malformed("a page", || said(200, "text/html", PAGE)),
    malformed("a gateway's page", || said(502, "text/html", PAGE)),
    malformed("JSON cut off", || {
        said(200, JSON, b"{\"ciphertext\": \"AAA")
    }),
    malformed("nothing", || said(200, JSON, b"")),
    malformed("a list", || said(200, JSON, b"[]")),
    malformed("no field of it", || said(200, JSON, b"{}")),
    malformed("an error in a 200", || {
        said(200, JSON, b"{\"errorName\": \"ThrottlingException\"}")
    }),
    malformed("an error that nobody knows", || {
        said(400, JSON, b"{\"errorName\": \"TeapotException\"}")
    }),
    malformed("a redirect", || Act::Say(302, vec![ELSEWHERE], Vec::new())),
];

/// The row of a proxy that is not there, or goes before it has answered.
pub const ABSENT: Row = Row {
    what: "nobody",
    act: || Act::Close,
    store: UNREACHABLE,
    key: STORE_STATE,
    message: "cannot communicate with the external key store proxy",
    codes: &["XKS_PROXY_NOT_REACHABLE", "XKS_PROXY_TIMED_OUT"],
};

/// The row of a proxy that never answers.
pub const SILENT: Row = Row {
    what: "no answer",
    act: || Act::Hang,
    store: UNREACHABLE,
    key: STORE_STATE,
    message: "did not respond in time",
    codes: &["XKS_PROXY_TIMED_OUT"],
};

/// The row of a proxy whose TLS is not right.
pub const BAD_TLS: Row = Row {
    what: "TLS that is not right",
    act: || Act::Answer,
    store: UNREACHABLE,
    key: STORE_STATE,
    message: "TLS",
    codes: &["XKS_PROXY_INVALID_TLS_CONFIGURATION"],
};
