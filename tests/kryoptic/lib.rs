//! Kryoptic as a PKCS#11 module: exports the three symbols that clients use, and calls `kryoptic-lib`.
//!
//! The crate `kryoptic` is not used: a cdylib cannot be a dependency, and its default features need OpenSSL 3.2. This package only needs
//! OpenSSL 3.0. The file that `KRYOPTIC_CONF` names configures the token.

#![expect(unsafe_code, reason = "exports the symbols of the standard")]

use kryoptic_lib::fns::general::{fn_get_function_list, fn_get_interface, fn_get_interface_list};
use kryoptic_lib::pkcs11::{
    CK_FLAGS, CK_FUNCTION_LIST_PTR_PTR, CK_INTERFACE_PTR, CK_INTERFACE_PTR_PTR, CK_RV,
    CK_ULONG_PTR, CK_UTF8CHAR_PTR, CK_VERSION_PTR,
};

/// `C_GetFunctionList`: PKCS#11 2.40.
#[unsafe(export_name = "C_GetFunctionList")]
pub extern "C" fn function_list(list: CK_FUNCTION_LIST_PTR_PTR) -> CK_RV {
    fn_get_function_list(list)
}

/// `C_GetInterfaceList`: PKCS#11 2.40, 3.0 and 3.2.
#[unsafe(export_name = "C_GetInterfaceList")]
pub extern "C" fn interface_list(list: CK_INTERFACE_PTR, count: CK_ULONG_PTR) -> CK_RV {
    fn_get_interface_list(list, count)
}

/// `C_GetInterface`: one of these interfaces; the newest one if no version is requested.
#[unsafe(export_name = "C_GetInterface")]
pub extern "C" fn interface(
    name: CK_UTF8CHAR_PTR,
    version: CK_VERSION_PTR,
    interface: CK_INTERFACE_PTR_PTR,
    flags: CK_FLAGS,
) -> CK_RV {
    fn_get_interface(name, version, interface, flags)
}
