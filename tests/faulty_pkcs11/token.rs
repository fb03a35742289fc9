//! Functions of the library, slots, tokens, sessions and logins.

#![expect(
    unsafe_code,
    reason = "the client's buffers, and calls of the wrapped module"
)]

use std::ffi::c_void;
use std::ptr;
use std::slice;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;

use cryptoki_sys::{
    CK_BBOOL, CK_FLAGS, CK_INFO, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_NOTIFY,
    CK_SESSION_HANDLE, CK_SLOT_ID, CK_SLOT_INFO, CK_TOKEN_INFO, CK_ULONG, CK_USER_TYPE,
    CK_UTF8CHAR, CKF_CLOCK_ON_TOKEN, CKF_LOGIN_REQUIRED, CKM_AES_GCM, CKR_ARGUMENTS_BAD,
    CKR_BUFFER_TOO_SMALL, CKR_MECHANISM_INVALID, CKR_PIN_INCORRECT, CKR_PIN_LOCKED,
    CKR_TOKEN_NOT_PRESENT, CKR_USER_ALREADY_LOGGED_IN,
};

use crate::control::{Dialect, Function};
use crate::gate::{Login, on_module, on_session, on_slot};
use crate::gcm::CKM_CLOUDHSM_AES_GCM;
use crate::module::{Answer, Module, call};

/// `C_Initialize`.
pub unsafe extern "C" fn initialize(arguments: *mut c_void) -> CK_ULONG {
    on_module(Function::Initialize, |module| {
        let mut is_initialized = module
            .is_initialized
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        call!(module, C_Initialize(arguments))?;
        *is_initialized = true;
        Ok(())
    })
}

/// `C_Finalize`.
pub unsafe extern "C" fn finalize(reserved: *mut c_void) -> CK_ULONG {
    on_module(Function::Finalize, |module| {
        let block = module.control.block();
        if block.in_flight.load(SeqCst) > 1 {
            block.finalize_races.fetch_add(1, SeqCst);
        }
        let mut is_initialized = module
            .is_initialized
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        call!(module, C_Finalize(reserved))?;
        *is_initialized = false;
        module.sessions.forget_all(module);
        Ok(())
    })
}

/// `C_GetInfo`.
pub unsafe extern "C" fn get_info(info: *mut CK_INFO) -> CK_ULONG {
    on_module(Function::GetInfo, |module| {
        let _running = module.running()?;
        call!(module, C_GetInfo(info))
    })
}

/// `C_GetSlotList`. A slot whose token was removed is listed as a slot without a token.
pub unsafe extern "C" fn get_slot_list(
    token_present: CK_BBOOL,
    slots: *mut CK_SLOT_ID,
    count: *mut CK_ULONG,
) -> CK_ULONG {
    on_module(Function::GetSlotList, |module| {
        let _running = module.running()?;
        if token_present != 0 && module.removed() {
            // SAFETY: null or a valid pointer of the client.
            *unsafe { count.as_mut() }.ok_or(CKR_ARGUMENTS_BAD)? = 0;
            return Ok(());
        }
        call!(module, C_GetSlotList(token_present, slots, count))
    })
}

/// `C_GetSlotInfo`.
pub unsafe extern "C" fn get_slot_info(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) -> CK_ULONG {
    on_slot(Function::GetSlotInfo, |module| {
        call!(module, C_GetSlotInfo(slot, info))
    })
}

/// `C_GetTokenInfo`, with the vendor texts of the environment variables.
pub unsafe extern "C" fn get_token_info(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_ULONG {
    on_slot(Function::GetTokenInfo, |module| {
        call!(module, C_GetTokenInfo(slot, info))?;
        // SAFETY: the wrapped module has just written it.
        let info = unsafe { info.as_mut() }.ok_or(CKR_ARGUMENTS_BAD)?;
        pad(
            &mut info.manufacturerID,
            module.environment.manufacturer.as_deref(),
        );
        pad(&mut info.model, module.environment.model.as_deref());
        if let Some((major, minor)) = module.environment.firmware {
            (info.firmwareVersion.major, info.firmwareVersion.minor) = (major, minor);
        }
        falsify(module, info);
        Ok(())
    })
}

/// Changes the information as the control file requires.
fn falsify(module: &Module, info: &mut CK_TOKEN_INFO) {
    let block = module.control.block();
    info.flags |= block.token_flags.load(SeqCst);
    if block.no_login.load(SeqCst) != 0 {
        info.flags &= !CKF_LOGIN_REQUIRED;
    }
    if info.flags & CKF_CLOCK_ON_TOKEN != 0 {
        info.utcTime = *b"no time at all!\0";
    }
    if block.nul_padding.load(SeqCst) != 0 {
        let fields: [&mut [CK_UTF8CHAR]; 4] = [
            &mut info.label,
            &mut info.manufacturerID,
            &mut info.model,
            &mut info.serialNumber,
        ];
        for field in fields {
            let text = field.trim_ascii_end().len();
            field.iter_mut().skip(text).for_each(|byte| *byte = 0);
        }
    }
}

fn pad(field: &mut [CK_UTF8CHAR], text: Option<&str>) {
    if let Some(text) = text {
        let padded = text.bytes().chain(std::iter::repeat(b' '));
        field
            .iter_mut()
            .zip(padded)
            .for_each(|(to, from)| *to = from);
    }
}

/// `C_GetMechanismList`, with the mechanisms of the dialect.
pub unsafe extern "C" fn get_mechanism_list(
    slot: CK_SLOT_ID,
    mechanisms: *mut CK_MECHANISM_TYPE,
    count: *mut CK_ULONG,
) -> CK_ULONG {
    on_slot(Function::GetMechanismList, |module| {
        let all = mechanism_list(module, slot)?;
        // SAFETY: null or a valid pointer of the client.
        let length = unsafe { count.as_mut() }.ok_or(CKR_ARGUMENTS_BAD)?;
        let given = std::mem::replace(length, all.len() as CK_ULONG);
        if mechanisms.is_null() {
            return Ok(());
        }
        if given < all.len() as CK_ULONG {
            return Err(CKR_BUFFER_TOO_SMALL);
        }
        // SAFETY: by the client's length, this many entries are writable.
        unsafe { slice::from_raw_parts_mut(mechanisms, all.len()) }.copy_from_slice(&all);
        Ok(())
    })
}

fn mechanism_list(module: &Module, slot: CK_SLOT_ID) -> Answer<Vec<CK_MECHANISM_TYPE>> {
    let mut count = 0;
    call!(
        module,
        C_GetMechanismList(slot, ptr::null_mut(), &mut count)
    )?;
    let mut list = vec![0; usize::try_from(count).unwrap_or(0)];
    call!(
        module,
        C_GetMechanismList(slot, list.as_mut_ptr(), &mut count)
    )?;
    match module.dialect() {
        Dialect::NoGcm => list.retain(|mechanism| *mechanism != CKM_AES_GCM),
        Dialect::IvPrepended => list.push(CKM_CLOUDHSM_AES_GCM),
        _ => {}
    }
    Ok(list)
}

/// `C_GetMechanismInfo`, with the mechanisms of the dialect.
pub unsafe extern "C" fn get_mechanism_info(
    slot: CK_SLOT_ID,
    mechanism: CK_MECHANISM_TYPE,
    info: *mut CK_MECHANISM_INFO,
) -> CK_ULONG {
    on_slot(Function::GetMechanismInfo, |module| {
        let mechanism = match (module.dialect(), mechanism) {
            (Dialect::NoGcm, CKM_AES_GCM) => return Err(CKR_MECHANISM_INVALID),
            (Dialect::IvPrepended, CKM_CLOUDHSM_AES_GCM) => CKM_AES_GCM,
            (_, mechanism) => mechanism,
        };
        call!(module, C_GetMechanismInfo(slot, mechanism, info))
    })
}

/// `C_InitToken`.
pub unsafe extern "C" fn init_token(
    slot: CK_SLOT_ID,
    pin: *mut CK_UTF8CHAR,
    pin_len: CK_ULONG,
    label: *mut CK_UTF8CHAR,
) -> CK_ULONG {
    on_slot(Function::InitToken, |module| {
        call!(module, C_InitToken(slot, pin, pin_len, label))
    })
}

/// `C_WaitForSlotEvent`.
pub unsafe extern "C" fn wait_for_slot_event(
    flags: CK_FLAGS,
    slot: *mut CK_SLOT_ID,
    reserved: *mut c_void,
) -> CK_ULONG {
    // Holds no lock during the call, because it may block without limit and must not prevent finalization.
    on_module(Function::WaitForSlotEvent, |module| {
        drop(module.running()?);
        call!(module, C_WaitForSlotEvent(flags, slot, reserved))
    })
}

/// `C_OpenSession`.
pub unsafe extern "C" fn open_session(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    application: *mut c_void,
    notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_ULONG {
    on_module(Function::OpenSession, |module| {
        let _running = module.running()?;
        module.must_be_present().or(Err(CKR_TOKEN_NOT_PRESENT))?;
        // SAFETY: null or a valid pointer of the client.
        let session = unsafe { session.as_mut() }.ok_or(CKR_ARGUMENTS_BAD)?;
        *session = module
            .sessions
            .open(module, slot, flags, (application, notify))?;
        Ok(())
    })
}

/// `C_CloseSession`.
pub unsafe extern "C" fn close_session(session: CK_SESSION_HANDLE) -> CK_ULONG {
    on_slot(Function::CloseSession, |module| {
        module.sessions.close(module, session)
    })
}

/// `C_CloseAllSessions`.
pub unsafe extern "C" fn close_all_sessions(slot: CK_SLOT_ID) -> CK_ULONG {
    on_slot(Function::CloseAllSessions, |module| {
        module.sessions.close_all(module, Some(slot));
        call!(module, C_CloseAllSessions(slot))
    })
}

/// `C_Login`. Counts wrong PINs and locks the token.
pub unsafe extern "C" fn login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    pin_len: CK_ULONG,
) -> CK_ULONG {
    let code = on_session(
        Function::Login,
        session,
        Login::NotNeeded,
        |module, session| {
            let epoch = module.applied.login_epoch();
            let answer = unlocked(module)
                .and_then(|()| call!(module, C_Login(session.real, user, pin, pin_len)));
            if matches!(answer, Ok(()) | Err(CKR_USER_ALREADY_LOGGED_IN)) {
                session.logged_in(epoch);
            }
            answer
        },
    );
    count_login(code);
    code
}

fn unlocked(module: &Module) -> Answer {
    let block = module.control.block();
    let tries = block.pin_tries.load(SeqCst);
    let locked = tries != 0 && block.wrong_pins.load(SeqCst) >= tries;
    if locked { Err(CKR_PIN_LOCKED) } else { Ok(()) }
}

/// Counts a login. Called after the gate, so that injected failures are also counted.
fn count_login(code: CK_ULONG) {
    let Ok(module) = Module::loaded() else { return };
    let block = module.control.block();
    let counters: &[_] = match code {
        cryptoki_sys::CKR_OK => &[&block.logins],
        CKR_USER_ALREADY_LOGGED_IN => &[],
        CKR_PIN_INCORRECT => &[&block.login_failures, &block.wrong_pins],
        _ => &[&block.login_failures],
    };
    for counter in counters {
        counter.fetch_add(1, SeqCst);
    }
}
