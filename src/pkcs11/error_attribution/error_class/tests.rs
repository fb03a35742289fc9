//! The class of every return code.

use cryptoki::context::Function;
use cryptoki::error::Rv;
use cryptoki_sys::*;

use super::*;
use crate::pkcs11::library::errors::Violation;

/// All codes of PKCS#11 2.40, 3.0, 3.1 and 3.2, a vendor code and an unknown code, by class.
const TABLE: [(ErrorClass, &[CK_RV]); 9] = [
    (
        ErrorClass::HandleStale,
        &[
            CKR_KEY_HANDLE_INVALID,
            CKR_OBJECT_HANDLE_INVALID,
            CKR_KEY_CHANGED,
        ],
    ),
    (
        ErrorClass::SessionLost,
        &[
            CKR_SESSION_HANDLE_INVALID,
            CKR_SESSION_CLOSED,
            CKR_USER_NOT_LOGGED_IN,
        ],
    ),
    (
        ErrorClass::UsageNotPermitted,
        &[CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_ACTION_PROHIBITED],
    ),
    (ErrorClass::MechanismNotPermitted, &[CKR_MECHANISM_INVALID]),
    (
        ErrorClass::KeyUnsuitable,
        &[CKR_KEY_TYPE_INCONSISTENT, CKR_KEY_SIZE_RANGE],
    ),
    (ErrorClass::InputTooLong, &[CKR_DATA_LEN_RANGE]),
    (
        ErrorClass::Ambiguous,
        &[
            CKR_ENCRYPTED_DATA_INVALID,
            CKR_AEAD_DECRYPT_FAILED,
            CKR_SIGNATURE_INVALID,
            CKR_SIGNATURE_LEN_RANGE,
            CKR_ENCRYPTED_DATA_LEN_RANGE,
            CKR_DATA_INVALID,
            CKR_GENERAL_ERROR,
            CKR_FUNCTION_FAILED,
            CKR_ARGUMENTS_BAD,
            CKR_MECHANISM_PARAM_INVALID,
            CKR_VENDOR_DEFINED,
            CKR_VENDOR_DEFINED | 0x1234,
            0x7777,
        ],
    ),
    (
        ErrorClass::KeyOrDevice,
        &[
            CKR_CANCEL,
            CKR_HOST_MEMORY,
            CKR_SLOT_ID_INVALID,
            CKR_NO_EVENT,
            CKR_NEED_TO_CREATE_THREADS,
            CKR_CANT_LOCK,
            CKR_ATTRIBUTE_READ_ONLY,
            CKR_ATTRIBUTE_SENSITIVE,
            CKR_ATTRIBUTE_TYPE_INVALID,
            CKR_ATTRIBUTE_VALUE_INVALID,
            CKR_DEVICE_ERROR,
            CKR_DEVICE_MEMORY,
            CKR_DEVICE_REMOVED,
            CKR_FUNCTION_CANCELED,
            CKR_FUNCTION_NOT_PARALLEL,
            CKR_FUNCTION_NOT_SUPPORTED,
            CKR_KEY_NOT_NEEDED,
            CKR_KEY_NEEDED,
            CKR_KEY_INDIGESTIBLE,
            CKR_KEY_NOT_WRAPPABLE,
            CKR_KEY_UNEXTRACTABLE,
            CKR_OPERATION_ACTIVE,
            CKR_OPERATION_NOT_INITIALIZED,
            CKR_PIN_INCORRECT,
            CKR_PIN_INVALID,
            CKR_PIN_LEN_RANGE,
            CKR_PIN_EXPIRED,
            CKR_PIN_LOCKED,
            CKR_SESSION_COUNT,
            CKR_SESSION_PARALLEL_NOT_SUPPORTED,
            CKR_SESSION_READ_ONLY,
            CKR_SESSION_EXISTS,
            CKR_SESSION_READ_ONLY_EXISTS,
            CKR_SESSION_READ_WRITE_SO_EXISTS,
            CKR_TEMPLATE_INCOMPLETE,
            CKR_TEMPLATE_INCONSISTENT,
            CKR_TOKEN_NOT_PRESENT,
            CKR_TOKEN_NOT_RECOGNIZED,
            CKR_TOKEN_WRITE_PROTECTED,
            CKR_UNWRAPPING_KEY_HANDLE_INVALID,
            CKR_UNWRAPPING_KEY_SIZE_RANGE,
            CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
            CKR_USER_ALREADY_LOGGED_IN,
            CKR_USER_PIN_NOT_INITIALIZED,
            CKR_USER_TYPE_INVALID,
            CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
            CKR_USER_TOO_MANY_TYPES,
            CKR_WRAPPED_KEY_INVALID,
            CKR_WRAPPED_KEY_LEN_RANGE,
            CKR_WRAPPING_KEY_HANDLE_INVALID,
            CKR_WRAPPING_KEY_SIZE_RANGE,
            CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
            CKR_RANDOM_SEED_NOT_SUPPORTED,
            CKR_RANDOM_NO_RNG,
            CKR_DOMAIN_PARAMS_INVALID,
            CKR_CURVE_NOT_SUPPORTED,
            CKR_BUFFER_TOO_SMALL,
            CKR_SAVED_STATE_INVALID,
            CKR_INFORMATION_SENSITIVE,
            CKR_STATE_UNSAVEABLE,
            CKR_CRYPTOKI_NOT_INITIALIZED,
            CKR_CRYPTOKI_ALREADY_INITIALIZED,
            CKR_MUTEX_BAD,
            CKR_MUTEX_NOT_LOCKED,
            CKR_NEW_PIN_MODE,
            CKR_NEXT_OTP,
            CKR_EXCEEDED_MAX_ITERATIONS,
            CKR_FIPS_SELF_TEST_FAILED,
            CKR_LIBRARY_LOAD_FAILED,
            CKR_PIN_TOO_WEAK,
            CKR_PUBLIC_KEY_INVALID,
            CKR_FUNCTION_REJECTED,
            CKR_TOKEN_RESOURCE_EXCEEDED,
            CKR_OPERATION_CANCEL_FAILED,
            CKR_KEY_EXHAUSTED,
            CKR_PENDING,
            CKR_SESSION_ASYNC_NOT_SUPPORTED,
            CKR_SEED_RANDOM_REQUIRED,
            CKR_OPERATION_NOT_VALIDATED,
            CKR_TOKEN_NOT_INITIALIZED,
            CKR_PARAMETER_SET_NOT_SUPPORTED,
        ],
    ),
    // No return code has this class: see the second test.
    (ErrorClass::Broken, &[]),
];

/// The number of codes in the standard, without `CKR_OK` and `CKR_VENDOR_DEFINED`.
const STANDARD_CODES: usize = 103;

fn error(code: CK_RV) -> CallError {
    match Rv::from(code) {
        Rv::Error(error) => CallError::Returned(error, Function::Encrypt),
        Rv::Ok => panic!("CKR_OK is not an error"),
    }
}

#[test]
fn every_code_has_a_class() {
    let mut codes: Vec<CK_RV> = Vec::new();
    for (class, of_class) in TABLE {
        for code in of_class {
            assert_eq!(classify(error(*code)), class, "{code:#x}");
        }
        codes.extend(of_class);
    }
    codes.sort_unstable();
    codes.dedup();
    let standard = codes.iter().filter(|code| **code <= 0x209).count();
    assert_eq!(
        (standard, codes.len()),
        (STANDARD_CODES, STANDARD_CODES + 3)
    );
}

#[test]
fn only_wrong_outputs_are_attributed_to_the_device_without_a_test() {
    for error in [
        CallError::Wrong(Violation::Length(9)),
        CallError::IvReplaced,
    ] {
        assert_eq!(classify(error), ErrorClass::Broken);
    }
    assert_eq!(classify(CallError::NotCallable), ErrorClass::KeyOrDevice);
}

#[test]
fn labels_are_names_of_the_standard_or_one_of_three_words() {
    for (code, expected) in [
        (CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID"),
        (
            CKR_SESSION_READ_WRITE_SO_EXISTS,
            "CKR_SESSION_READ_WRITE_SO_EXISTS",
        ),
        (CKR_VENDOR_DEFINED | 7, "vendor"),
        (0x7777, "unknown"),
    ] {
        assert_eq!(label(error(code)), expected);
    }
    assert_eq!(label(CallError::NotCallable), "other");
}
