//! Functions of objects. Object handles contain the handle epoch in which they were returned.

#![expect(
    unsafe_code,
    reason = "the client's buffers, and calls of the wrapped module"
)]

use std::sync::atomic::Ordering::SeqCst;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_INVALID_HANDLE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_SESSION_HANDLE,
    CK_ULONG, CKA_LABEL, CKR_ARGUMENTS_BAD, CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID,
};

use crate::control::{Function, hash};
use crate::gate::{Login, on_session};
use crate::module::{Answer, Module, call};
use crate::sessions::Session;

/// The number of bits for the handle of the wrapped module. The higher bits contain the epoch.
const HANDLE_BITS: u32 = 40;

/// Returns the handle of the wrapped module for a key.
pub fn below(module: &Module, key: CK_OBJECT_HANDLE) -> Answer<CK_OBJECT_HANDLE> {
    let fresh = key >> HANDLE_BITS == module.control.block().handle_epoch.load(SeqCst);
    fresh
        .then_some(key & ((1 << HANDLE_BITS) - 1))
        .ok_or(CKR_KEY_HANDLE_INVALID)
}

fn object_below(module: &Module, object: CK_OBJECT_HANDLE) -> Answer<CK_OBJECT_HANDLE> {
    below(module, object).or(Err(CKR_OBJECT_HANDLE_INVALID))
}

/// Converts a handle of the wrapped module to a handle of the client.
pub fn above(module: &Module, object: &mut CK_OBJECT_HANDLE) {
    if *object != CK_INVALID_HANDLE {
        *object |= module.control.block().handle_epoch.load(SeqCst) << HANDLE_BITS;
    }
}

/// Converts a handle in the client's memory, like [`above`].
///
/// # Safety
/// `object` is null, or points to an initialized handle.
pub unsafe fn above_at(module: &Module, object: *mut CK_OBJECT_HANDLE) {
    // SAFETY: guaranteed by the caller.
    if let Some(object) = unsafe { object.as_mut() } {
        above(module, object);
    }
}

/// Returns the hash of an object's label; 0, without a call, unless failures are limited to one key.
pub fn label_of(module: &Module, session: &Session, object: CK_OBJECT_HANDLE) -> u64 {
    if module.control.block().failing_key.load(SeqCst) == 0 {
        return 0;
    }
    let mut label = [0_u8; 256];
    let mut template = CK_ATTRIBUTE {
        type_: CKA_LABEL,
        pValue: label.as_mut_ptr().cast(),
        ulValueLen: label.len() as CK_ULONG,
    };
    let read = call!(
        module,
        C_GetAttributeValue(session.real, object, &mut template, 1)
    );
    let length = usize::try_from(template.ulValueLen).unwrap_or(0);
    let label = label.get(..length).filter(|_| read.is_ok());
    label.map_or(0, hash)
}

/// `C_CreateObject`.
pub unsafe extern "C" fn create_object(
    session: CK_SESSION_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    object: *mut CK_OBJECT_HANDLE,
) -> CK_ULONG {
    on_session(
        Function::CreateObject,
        session,
        Login::Needed,
        |module, session| {
            call!(
                module,
                C_CreateObject(session.real, template, count, object)
            )?;
            // SAFETY: the wrapped module has just written it.
            unsafe { above_at(module, object) };
            Ok(())
        },
    )
}

/// `C_CopyObject`.
pub unsafe extern "C" fn copy_object(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    copy: *mut CK_OBJECT_HANDLE,
) -> CK_ULONG {
    on_session(
        Function::CopyObject,
        session,
        Login::Needed,
        |module, session| {
            let object = object_below(module, object)?;
            call!(
                module,
                C_CopyObject(session.real, object, template, count, copy)
            )?;
            // SAFETY: the wrapped module has just written it.
            unsafe { above_at(module, copy) };
            Ok(())
        },
    )
}

/// `C_DestroyObject`.
pub unsafe extern "C" fn destroy_object(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
) -> CK_ULONG {
    on_session(
        Function::DestroyObject,
        session,
        Login::Needed,
        |module, session| {
            call!(
                module,
                C_DestroyObject(session.real, object_below(module, object)?)
            )
        },
    )
}

/// `C_GetObjectSize`.
pub unsafe extern "C" fn get_object_size(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    size: *mut CK_ULONG,
) -> CK_ULONG {
    on_session(
        Function::GetObjectSize,
        session,
        Login::Needed,
        |module, session| {
            call!(
                module,
                C_GetObjectSize(session.real, object_below(module, object)?, size)
            )
        },
    )
}

/// `C_GetAttributeValue`.
pub unsafe extern "C" fn get_attribute_value(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_ULONG {
    on_session(
        Function::GetAttributeValue,
        session,
        Login::Needed,
        |module, session| {
            let object = object_below(module, object)?;
            readable(module, session.real, object)?;
            call!(
                module,
                C_GetAttributeValue(session.real, object, template, count)
            )
        },
    )
}

/// Fails if the control file makes the objects with this label unreadable.
fn readable(module: &Module, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Answer {
    let block = module.control.block();
    let code = block.unreadable_code.load(SeqCst);
    if code == 0 {
        return Ok(());
    }
    let mut label = [0_u8; 256];
    let mut attribute = CK_ATTRIBUTE {
        type_: CKA_LABEL,
        pValue: label.as_mut_ptr().cast(),
        ulValueLen: label.len() as CK_ULONG,
    };
    call!(
        module,
        C_GetAttributeValue(session, object, &mut attribute, 1)
    )?;
    let length = usize::try_from(attribute.ulValueLen).unwrap_or(0);
    let label = label.get(..length).unwrap_or_default();
    match hash(label) == block.unreadable.load(SeqCst) {
        true => Err(code),
        false => Ok(()),
    }
}

/// `C_SetAttributeValue`.
pub unsafe extern "C" fn set_attribute_value(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_ULONG {
    on_session(
        Function::SetAttributeValue,
        session,
        Login::Needed,
        |module, session| {
            let object = object_below(module, object)?;
            call!(
                module,
                C_SetAttributeValue(session.real, object, template, count)
            )
        },
    )
}

/// `C_FindObjects`.
pub unsafe extern "C" fn find_objects(
    session: CK_SESSION_HANDLE,
    objects: *mut CK_OBJECT_HANDLE,
    room: CK_ULONG,
    count: *mut CK_ULONG,
) -> CK_ULONG {
    on_session(
        Function::FindObjects,
        session,
        Login::Needed,
        |module, session| {
            call!(module, C_FindObjects(session.real, objects, room, count))?;
            // SAFETY: the wrapped module has rejected null pointers and has written the count.
            let count = unsafe { count.as_ref() }.ok_or(CKR_ARGUMENTS_BAD)?;
            for index in 0..usize::try_from(*count).unwrap_or(0) {
                // SAFETY: the wrapped module has written this many handles.
                unsafe { above_at(module, objects.wrapping_add(index)) };
            }
            Ok(())
        },
    )
}

/// `C_WrapKey`.
pub unsafe extern "C" fn wrap_key(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    wrapping_key: CK_OBJECT_HANDLE,
    key: CK_OBJECT_HANDLE,
    wrapped: *mut CK_BYTE,
    wrapped_len: *mut CK_ULONG,
) -> CK_ULONG {
    on_session(
        Function::WrapKey,
        session,
        Login::Needed,
        |module, session| {
            let (wrapping_key, key) = (below(module, wrapping_key)?, below(module, key)?);
            let real = session.real;
            call!(
                module,
                C_WrapKey(real, mechanism, wrapping_key, key, wrapped, wrapped_len)
            )
        },
    )
}

/// `C_SetOperationState`.
pub unsafe extern "C" fn set_operation_state(
    session: CK_SESSION_HANDLE,
    state: *mut CK_BYTE,
    state_len: CK_ULONG,
    encryption_key: CK_OBJECT_HANDLE,
    authentication_key: CK_OBJECT_HANDLE,
) -> CK_ULONG {
    on_session(
        Function::SetOperationState,
        session,
        Login::NotNeeded,
        |module, session| {
            let optional = |key| {
                if key == CK_INVALID_HANDLE {
                    Ok(key)
                } else {
                    below(module, key)
                }
            };
            let (first, second) = (optional(encryption_key)?, optional(authentication_key)?);
            call!(
                module,
                C_SetOperationState(session.real, state, state_len, first, second)
            )
        },
    )
}
