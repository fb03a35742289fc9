//! PKCS#11 return codes as text for operators: the standard's name, the number, and what to do.

use cryptoki::context::Function;
use cryptoki::error::{Rv, RvError};
use cryptoki_sys::CK_RV;

/// Describes a return code, as all messages do: `CKR_PIN_LOCKED (0xa4) in C_Login: the token locked the PIN …`.
pub(in crate::pkcs11) fn describe(code: RvError, function: Function) -> String {
    let shown = format!("{} in C_{function:?}", name_and_number(code));
    match hint(code) {
        Some(hint) => format!("{shown}: {hint}"),
        None => shown,
    }
}

/// Returns the standard's name and the number: `CKR_PIN_LOCKED (0xa4)`.
pub(in crate::pkcs11) fn name_and_number(code: RvError) -> String {
    match code {
        RvError::VendorDefined(number) => format!("vendor-defined return value ({number:#x})"),
        RvError::UnknownErrorCode(number) => match known_name(number) {
            Some(name) => format!("{name} ({number:#x})"),
            None => format!("unknown return value ({number:#x})"),
        },
        code => {
            let matches = |entry: &&(CK_RV, &str)| Rv::from(entry.0) == Rv::Error(code);
            match NAMES.iter().find(matches) {
                Some((number, name)) => format!("{name} ({number:#x})"),
                None => format!("{code:?}"),
            }
        }
    }
}

/// Returns the number of a code, for the record of logins; 0 if it has none.
pub(in crate::pkcs11) fn number(code: RvError) -> u32 {
    let number = match code {
        RvError::VendorDefined(number) | RvError::UnknownErrorCode(number) => number,
        code => {
            let matches = |entry: &&(CK_RV, &str)| Rv::from(entry.0) == Rv::Error(code);
            NAMES.iter().find(matches).map_or(0, |(number, _)| *number)
        }
    };
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn known_name(number: CK_RV) -> Option<&'static str> {
    let found = NAMES.iter().find(|entry| entry.0 == number);
    found.map(|entry| entry.1)
}

/// Returns a hint for the operator: the cause or the action, for codes where it is known.
fn hint(code: RvError) -> Option<&'static str> {
    use RvError as R;
    Some(match code {
        R::PinIncorrect => "the configured PIN is wrong",
        R::PinLocked => {
            "the token locked the PIN after wrong attempts; its security officer must unlock it"
        }
        R::PinExpired => "change the PIN with the vendor's tool",
        R::PinInvalid | R::PinLenRange => "the configured PIN cannot be a PIN of this token",
        R::UserPinNotInitialized => {
            "the token has no user PIN; set one, or configure pin = \"none\" if it needs no login"
        }
        R::UserNotLoggedIn => "the login is missing or was lost",
        R::UserAnotherAlreadyLoggedIn | R::UserTooManyTypes => {
            "another user is logged in to the token in this process"
        }
        R::TokenNotPresent => "the slot has no token",
        R::TokenNotRecognized => {
            "the library does not recognize the token; check that the token is initialized, and that the library is the right one for it"
        }
        R::SlotIdInvalid => "the slot is gone",
        R::TokenWriteProtected | R::SessionReadOnly => "the token does not accept changes",
        R::MechanismInvalid => {
            "the token or the key does not allow this mechanism; for a key, check CKA_ALLOWED_MECHANISMS"
        }
        R::MechanismParamInvalid => "the token rejects the parameters; check hsm.gcm_profile",
        R::KeyFunctionNotPermitted | R::ActionProhibited => {
            "the key does not permit this; check CKA_ENCRYPT and CKA_DECRYPT"
        }
        R::KeyTypeInconsistent | R::KeySizeRange => "the key must be an AES-256 key",
        R::KeyHandleInvalid | R::ObjectHandleInvalid => "the key was deleted or replaced",
        R::AttributeTypeInvalid
        | R::AttributeValueInvalid
        | R::AttributeReadOnly
        | R::TemplateIncomplete
        | R::TemplateInconsistent => "the token does not accept the attributes of the key",
        R::SessionCount => "the token has no free session; lower hsm.sessions",
        R::DeviceError | R::DeviceRemoved => "check the HSM and the connection to it",
        R::DeviceMemory => "the HSM has no free memory",
        R::HostMemory => "the library found no free memory on this host",
        R::GeneralError | R::FunctionFailed | R::ArgumentsBad => {
            "the library gives no cause; check its log, its configuration and its environment variables"
        }
        R::CantLock | R::NeedToCreateThreads => "the library does not support threads",
        R::CryptokiNotInitialized => "another user of the library in this process finalized it",
        R::FunctionNotSupported => "the library does not implement this function",
        R::FunctionRejected => "the HSM or an operator of it rejected the operation",
        _ => return None,
    })
}

macro_rules! names {
    ($($name:ident)*) => {
        /// The names of the standard (PKCS#11 3.2, section 5.1).
        const NAMES: &[(CK_RV, &str)] = &[$((cryptoki_sys::$name, stringify!($name))),*];
    };
}

names! {
    CKR_CANCEL CKR_HOST_MEMORY CKR_SLOT_ID_INVALID CKR_GENERAL_ERROR CKR_FUNCTION_FAILED CKR_ARGUMENTS_BAD
    CKR_NO_EVENT CKR_NEED_TO_CREATE_THREADS CKR_CANT_LOCK CKR_ATTRIBUTE_READ_ONLY CKR_ATTRIBUTE_SENSITIVE
    CKR_ATTRIBUTE_TYPE_INVALID CKR_ATTRIBUTE_VALUE_INVALID CKR_ACTION_PROHIBITED CKR_DATA_INVALID CKR_DATA_LEN_RANGE
    CKR_DEVICE_ERROR CKR_DEVICE_MEMORY CKR_DEVICE_REMOVED CKR_ENCRYPTED_DATA_INVALID CKR_ENCRYPTED_DATA_LEN_RANGE
    CKR_FUNCTION_CANCELED CKR_FUNCTION_NOT_PARALLEL CKR_FUNCTION_NOT_SUPPORTED CKR_KEY_HANDLE_INVALID
    CKR_KEY_SIZE_RANGE CKR_KEY_TYPE_INCONSISTENT CKR_KEY_NOT_NEEDED CKR_KEY_CHANGED CKR_KEY_NEEDED
    CKR_KEY_INDIGESTIBLE CKR_KEY_FUNCTION_NOT_PERMITTED CKR_KEY_NOT_WRAPPABLE CKR_KEY_UNEXTRACTABLE
    CKR_MECHANISM_INVALID CKR_MECHANISM_PARAM_INVALID CKR_OBJECT_HANDLE_INVALID CKR_OPERATION_ACTIVE
    CKR_OPERATION_NOT_INITIALIZED CKR_PIN_INCORRECT CKR_PIN_INVALID CKR_PIN_LEN_RANGE CKR_PIN_EXPIRED CKR_PIN_LOCKED
    CKR_SESSION_CLOSED CKR_SESSION_COUNT CKR_SESSION_HANDLE_INVALID CKR_SESSION_PARALLEL_NOT_SUPPORTED
    CKR_SESSION_READ_ONLY CKR_SESSION_EXISTS CKR_SESSION_READ_ONLY_EXISTS CKR_SESSION_READ_WRITE_SO_EXISTS
    CKR_SIGNATURE_INVALID CKR_SIGNATURE_LEN_RANGE CKR_TEMPLATE_INCOMPLETE CKR_TEMPLATE_INCONSISTENT
    CKR_TOKEN_NOT_PRESENT CKR_TOKEN_NOT_RECOGNIZED CKR_TOKEN_WRITE_PROTECTED CKR_UNWRAPPING_KEY_HANDLE_INVALID
    CKR_UNWRAPPING_KEY_SIZE_RANGE CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT CKR_USER_ALREADY_LOGGED_IN
    CKR_USER_NOT_LOGGED_IN CKR_USER_PIN_NOT_INITIALIZED CKR_USER_TYPE_INVALID CKR_USER_ANOTHER_ALREADY_LOGGED_IN
    CKR_USER_TOO_MANY_TYPES CKR_WRAPPED_KEY_INVALID CKR_WRAPPED_KEY_LEN_RANGE CKR_WRAPPING_KEY_HANDLE_INVALID
    CKR_WRAPPING_KEY_SIZE_RANGE CKR_WRAPPING_KEY_TYPE_INCONSISTENT CKR_RANDOM_SEED_NOT_SUPPORTED CKR_RANDOM_NO_RNG
    CKR_DOMAIN_PARAMS_INVALID CKR_CURVE_NOT_SUPPORTED CKR_BUFFER_TOO_SMALL CKR_SAVED_STATE_INVALID
    CKR_INFORMATION_SENSITIVE CKR_STATE_UNSAVEABLE CKR_CRYPTOKI_NOT_INITIALIZED CKR_CRYPTOKI_ALREADY_INITIALIZED
    CKR_MUTEX_BAD CKR_MUTEX_NOT_LOCKED CKR_NEW_PIN_MODE CKR_NEXT_OTP CKR_EXCEEDED_MAX_ITERATIONS
    CKR_FIPS_SELF_TEST_FAILED CKR_LIBRARY_LOAD_FAILED CKR_PIN_TOO_WEAK CKR_PUBLIC_KEY_INVALID CKR_FUNCTION_REJECTED
    CKR_AEAD_DECRYPT_FAILED CKR_TOKEN_RESOURCE_EXCEEDED CKR_OPERATION_CANCEL_FAILED CKR_KEY_EXHAUSTED CKR_PENDING
    CKR_SESSION_ASYNC_NOT_SUPPORTED CKR_SEED_RANDOM_REQUIRED CKR_OPERATION_NOT_VALIDATED CKR_TOKEN_NOT_INITIALIZED
    CKR_PARAMETER_SET_NOT_SUPPORTED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standard_code_is_shown_by_name_and_number_without_text_of_the_crate() {
        for &(number, name) in NAMES {
            let Rv::Error(code) = Rv::from(number) else {
                panic!("{name} is an error");
            };
            let shown = describe(code, Function::Login);
            let start = format!("{name} ({number:#x}) in C_Login");
            assert!(shown.starts_with(&start), "{shown}");
            let crate_text = code.to_string();
            // For some codes the text of the crate is the name.
            assert!(
                crate_text == name || !shown.contains(&crate_text),
                "{shown}"
            );
        }
    }

    #[test]
    fn codes_without_a_name_are_shown_by_number() {
        let vendor = describe(RvError::VendorDefined(0x8000_0001), Function::Encrypt);
        assert_eq!(
            vendor,
            "vendor-defined return value (0x80000001) in C_Encrypt"
        );
        let unknown = describe(RvError::UnknownErrorCode(0x7777), Function::Encrypt);
        assert_eq!(unknown, "unknown return value (0x7777) in C_Encrypt");
    }
}
