//! Functions of a session that are passed to the wrapped module after the gate.

#![expect(unsafe_code, reason = "calls of the wrapped module")]

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_SESSION_INFO,
    CK_ULONG, CK_UTF8CHAR,
};

use crate::control::Function;
use crate::gate::{Login, on_session};
use crate::lies::falsify_random;
use crate::module::call;
use crate::objects::below;

type Bytes = *mut CK_BYTE;
type Len = *mut CK_ULONG;
type Mechanism = *mut CK_MECHANISM;

macro_rules! passed_on {
    ($($login:ident $function:ident $name:ident = $real:ident($($argument:ident: $type:ty),*);)*) => {$(
        pub unsafe extern "C" fn $name(session: CK_SESSION_HANDLE, $($argument: $type),*) -> CK_ULONG {
            on_session(Function::$function, session, Login::$login, |module, session| {
                call!(module, $real(session.real, $($argument),*))
            })
        }
    )*};
}

// Like `passed_on`, for functions whose last argument is a key.
macro_rules! passed_on_with_key {
    ($($login:ident $function:ident $name:ident = $real:ident($($argument:ident: $type:ty),*);)*) => {$(
        pub unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            $($argument: $type,)*
            key: CK_OBJECT_HANDLE,
        ) -> CK_ULONG {
            on_session(Function::$function, session, Login::$login, |module, session| {
                call!(module, $real(session.real, $($argument,)* below(module, key)?))
            })
        }
    )*};
}

/// `C_GenerateRandom`.
pub unsafe extern "C" fn generate_random(
    session: CK_SESSION_HANDLE,
    random: Bytes,
    len: CK_ULONG,
) -> CK_ULONG {
    on_session(
        Function::GenerateRandom,
        session,
        Login::NotNeeded,
        |module, session| {
            call!(module, C_GenerateRandom(session.real, random, len))?;
            // SAFETY: by the client's length, this many bytes are writable.
            unsafe { falsify_random(module, random, len) };
            Ok(())
        },
    )
}

passed_on! {
    NotNeeded GetSessionInfo get_session_info = C_GetSessionInfo(info: *mut CK_SESSION_INFO);
    NotNeeded GetOperationState get_operation_state = C_GetOperationState(state: Bytes, len: Len);
    NotNeeded InitPin init_pin = C_InitPIN(pin: *mut CK_UTF8CHAR, len: CK_ULONG);
    NotNeeded SetPin set_pin = C_SetPIN(old: *mut CK_UTF8CHAR, old_len: CK_ULONG, new: *mut CK_UTF8CHAR, new_len: CK_ULONG);
    NotNeeded Logout logout = C_Logout();
    NotNeeded SeedRandom seed_random = C_SeedRandom(seed: Bytes, len: CK_ULONG);
    NotNeeded GetFunctionStatus get_function_status = C_GetFunctionStatus();
    NotNeeded CancelFunction cancel_function = C_CancelFunction();

    Needed FindObjectsInit find_objects_init = C_FindObjectsInit(template: *mut CK_ATTRIBUTE, count: CK_ULONG);
    Needed FindObjectsFinal find_objects_final = C_FindObjectsFinal();

    Needed DecryptFinal decrypt_final = C_DecryptFinal(output: Bytes, len: Len);

    NotNeeded DigestInit digest_init = C_DigestInit(mechanism: Mechanism);
    NotNeeded Digest digest = C_Digest(data: Bytes, len: CK_ULONG, digest: Bytes, digest_len: Len);
    NotNeeded DigestUpdate digest_update = C_DigestUpdate(data: Bytes, len: CK_ULONG);
    NotNeeded DigestFinal digest_final = C_DigestFinal(digest: Bytes, len: Len);

    Needed Sign sign = C_Sign(data: Bytes, len: CK_ULONG, signature: Bytes, signature_len: Len);
    Needed SignUpdate sign_update = C_SignUpdate(data: Bytes, len: CK_ULONG);
    Needed SignFinal sign_final = C_SignFinal(signature: Bytes, len: Len);
    Needed SignRecover sign_recover = C_SignRecover(data: Bytes, len: CK_ULONG, signature: Bytes, signature_len: Len);

    Needed Verify verify = C_Verify(data: Bytes, len: CK_ULONG, signature: Bytes, signature_len: CK_ULONG);
    Needed VerifyUpdate verify_update = C_VerifyUpdate(data: Bytes, len: CK_ULONG);
    Needed VerifyFinal verify_final = C_VerifyFinal(signature: Bytes, len: CK_ULONG);
    Needed VerifyRecover verify_recover = C_VerifyRecover(signature: Bytes, len: CK_ULONG, data: Bytes, data_len: Len);

    Needed DigestEncryptUpdate digest_encrypt_update = C_DigestEncryptUpdate(data: Bytes, len: CK_ULONG, output: Bytes, output_len: Len);
    Needed DecryptDigestUpdate decrypt_digest_update = C_DecryptDigestUpdate(data: Bytes, len: CK_ULONG, output: Bytes, output_len: Len);
    Needed SignEncryptUpdate sign_encrypt_update = C_SignEncryptUpdate(data: Bytes, len: CK_ULONG, output: Bytes, output_len: Len);
    Needed DecryptVerifyUpdate decrypt_verify_update = C_DecryptVerifyUpdate(data: Bytes, len: CK_ULONG, output: Bytes, output_len: Len);
}

passed_on_with_key! {
    Needed DigestKey digest_key = C_DigestKey();
    Needed SignInit sign_init = C_SignInit(mechanism: Mechanism);
    Needed SignRecoverInit sign_recover_init = C_SignRecoverInit(mechanism: Mechanism);
    Needed VerifyInit verify_init = C_VerifyInit(mechanism: Mechanism);
    Needed VerifyRecoverInit verify_recover_init = C_VerifyRecoverInit(mechanism: Mechanism);
}
