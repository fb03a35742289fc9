//! Each row of the error table, and the texts of the response.

use super::*;

/// Each kind, with status and name of the specification.
const TABLE: [(FaultKind, u16, &str); 29] = [
    (FaultKind::BodyMalformed, 400, "ValidationException"),
    (FaultKind::BodyIncomplete, 400, "ValidationException"),
    (
        FaultKind::BodyTooLarge,
        501,
        "UnsupportedOperationException",
    ),
    (FaultKind::NotHttp, 400, "ValidationException"),
    (
        FaultKind::FieldMissing("plaintext"),
        400,
        "ValidationException",
    ),
    (
        FaultKind::FieldInvalid("plaintext"),
        400,
        "ValidationException",
    ),
    (
        FaultKind::FieldTooLong("plaintext"),
        501,
        "UnsupportedOperationException",
    ),
    (FaultKind::MethodNotAllowed, 405, "ValidationException"),
    (FaultKind::PathUnknown, 404, "InvalidUriPathException"),
    (FaultKind::KeyStoreUnknown, 404, "InvalidUriPathException"),
    (
        FaultKind::AuthenticationFailed,
        401,
        "AuthenticationFailedException",
    ),
    (FaultKind::KeyStoreDisabled, 400, "InvalidStateException"),
    (FaultKind::KeyDisabled, 400, "InvalidStateException"),
    (FaultKind::KeyAmbiguous, 400, "InvalidStateException"),
    (FaultKind::KeyBlocked, 400, "InvalidStateException"),
    (FaultKind::KeyUnknown, 404, "KeyNotFoundException"),
    (FaultKind::KeyAbsent, 404, "KeyNotFoundException"),
    (
        FaultKind::UsageNotPermitted,
        400,
        "InvalidKeyUsageException",
    ),
    (FaultKind::KeyUnsuitable, 400, "InvalidKeyUsageException"),
    (FaultKind::AccessDenied, 403, "AccessDeniedException"),
    (
        FaultKind::CiphertextInvalid,
        400,
        "InvalidCiphertextException",
    ),
    (
        FaultKind::AlgorithmUnsupported("encryptionAlgorithm"),
        501,
        "UnsupportedOperationException",
    ),
    (FaultKind::Overloaded, 429, "ThrottlingException"),
    (FaultKind::UnverifiedOverload, 429, "ThrottlingException"),
    (FaultKind::QuotaExceeded, 429, "ThrottlingException"),
    (FaultKind::DeadlinePassed, 503, "DependencyTimeoutException"),
    (FaultKind::KeyFailed, 500, "InternalException"),
    (FaultKind::DeviceFailed, 500, "InternalException"),
    (FaultKind::Internal, 500, "InternalException"),
];

#[test]
fn every_kind_has_its_row() {
    for (kind, status, name) in TABLE {
        assert_eq!(
            (kind.status(), kind.name().as_str()),
            (status, name),
            "{kind:?}"
        );
    }
}

#[test]
fn every_name_belongs_to_some_kind() {
    for name in ErrorName::ALL {
        assert!(
            TABLE.iter().any(|(kind, ..)| kind.name() == name),
            "{name:?}"
        );
    }
}

#[test]
fn messages_are_short_printable_ascii() {
    for (kind, ..) in TABLE {
        let message = kind.message();
        assert!(message.len() < 512 && !message.is_empty());
        assert!(
            message.bytes().all(|b| (0x20..=0x7e).contains(&b)),
            "{message}"
        );
    }
}

#[test]
fn only_three_names_are_retryable() {
    let retryable: Vec<_> = ErrorName::ALL
        .into_iter()
        .filter(|n| n.is_retryable())
        .collect();
    let expected = [
        ErrorName::Throttling,
        ErrorName::Internal,
        ErrorName::DependencyTimeout,
    ];
    assert_eq!(retryable, expected);
}

#[test]
fn the_body_does_not_contain_the_reason() {
    let fault = Fault::because(FaultKind::DeviceFailed, "CKR_DEVICE_ERROR in slot 7");
    let body = String::from_utf8(fault.body()).unwrap();
    assert_eq!(
        body,
        r#"{"errorName":"InternalException","errorMessage":"the external key manager could not be used"}"#
    );
}
