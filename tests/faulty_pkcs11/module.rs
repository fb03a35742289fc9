//! The state of this module, with the wrapped module: one value per loaded library.

#![expect(unsafe_code, reason = "loads a PKCS#11 library and calls it")]

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::{mem, ptr};

use cryptoki_sys::{
    CK_FUNCTION_LIST, CK_RV, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_GENERAL_ERROR, CKR_OK,
};

use crate::control::{Control, Dialect, IvSource};
use crate::environment::Environment;
use crate::events::Applied;
use crate::sessions::Sessions;

/// The result of a call. The error is the return code.
pub type Answer<T = ()> = Result<T, CK_RV>;

/// Calls a function of the wrapped module.
macro_rules! call {
    ($module:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $module.real.$function {
            // SAFETY: the client guarantees the arguments, as for the wrapped module. Handles were translated to those of the wrapped
            // module.
            Some(function) => $crate::module::check(unsafe { function($($argument),*) }),
            None => Err(cryptoki_sys::CKR_FUNCTION_NOT_SUPPORTED),
        }
    };
}
pub(crate) use call;

/// The wrapped module, the control block, and the state between calls.
pub struct Module {
    pub real: &'static CK_FUNCTION_LIST,
    pub control: Control,
    pub environment: Environment,
    pub sessions: Sessions,
    pub applied: Applied,
    /// True if the wrapped module is initialized. A call holds the read lock while it is inside the wrapped module, because many modules
    /// crash if they are finalized during a call.
    pub is_initialized: RwLock<bool>,
    noise: AtomicU64,
}

impl Module {
    /// Returns the module, which the first call loads.
    pub fn loaded() -> Answer<&'static Self> {
        static MODULE: OnceLock<Option<Module>> = OnceLock::new();
        MODULE
            .get_or_init(load_or_explain)
            .as_ref()
            .ok_or(CKR_GENERAL_ERROR)
    }

    /// Prevents finalization of the wrapped module while the guard lives.
    pub fn running(&self) -> Answer<RwLockReadGuard<'_, bool>> {
        let is_initialized = self
            .is_initialized
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        is_initialized
            .then_some(())
            .ok_or(CKR_CRYPTOKI_NOT_INITIALIZED)?;
        Ok(is_initialized)
    }

    /// Returns whether the token is removed.
    pub fn removed(&self) -> bool {
        self.control.block().removed.load(SeqCst) != 0
    }

    /// The current dialect.
    pub fn dialect(&self) -> Dialect {
        match self.control.block().dialect.load(SeqCst) {
            1 => Dialect::IvWrittenBack,
            2 => Dialect::IvAppended,
            3 => Dialect::IvPrepended,
            4 => Dialect::ShortParams,
            5 => Dialect::IvBitsRequired,
            6 => Dialect::NoGcm,
            _ => Dialect::AsWrapped,
        }
    }

    /// The source of the next IV.
    pub fn iv_source(&self) -> IvSource {
        match self.control.block().iv_source.load(SeqCst) {
            1 => IvSource::Zero,
            2 => IvSource::Constant,
            _ => IvSource::Random,
        }
    }

    /// A pseudo-random number up to `limit` (SplitMix64).
    pub fn noise(&self, limit: u64) -> u64 {
        let mut bits = self.noise.fetch_add(0x9E37_79B9_7F4A_7C15, SeqCst);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % limit.saturating_add(1)
    }
}

/// Converts a return code.
pub fn check(code: CK_RV) -> Answer {
    if code == CKR_OK { Ok(()) } else { Err(code) }
}

/// Locks, also if the mutex is poisoned.
pub fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load_or_explain() -> Option<Module> {
    let explain = |fault: &Fault| writeln!(io::stderr(), "faulty-pkcs11: {fault}").ok();
    load().inspect_err(|fault| _ = explain(fault)).ok()
}

type Fault = Box<dyn std::error::Error>;

fn load() -> Result<Module, Fault> {
    let environment = Environment::read();
    let real = function_list(&environment)?;
    let control = match &environment.control {
        Some(path) => {
            Control::open(path).map_err(|fault| format!("{}: {fault}", path.display()))?
        }
        None => Control::anonymous()?,
    };
    let block = control.block();
    // A killed process may have left its gauges.
    block.open_sessions.store(0, SeqCst);
    block.in_flight.store(0, SeqCst);
    crate::control::Function::ALL
        .iter()
        .for_each(|function| block.function(*function).stuck.store(0, SeqCst));
    block.attached.fetch_add(1, SeqCst);
    let applied = Applied::so_far(block);
    Ok(Module {
        real,
        control,
        environment,
        sessions: Sessions::default(),
        applied,
        is_initialized: RwLock::new(false),
        noise: AtomicU64::new(std::process::id().into()),
    })
}

fn function_list(environment: &Environment) -> Result<&'static CK_FUNCTION_LIST, Fault> {
    // SAFETY: loading runs the constructors of a library that the test trusts.
    let library = unsafe { cryptoki_sys::Pkcs11::new(&environment.module) }
        .map_err(|fault| format!("{}: {fault}", environment.module.display()))?;
    let entry = *library
        .C_GetFunctionList
        .as_ref()
        .map_err(ToString::to_string)?;
    // The library stays mapped until the process ends, because clients may call it at any time.
    mem::forget(library);
    let mut list = ptr::null_mut();
    // SAFETY: `entry` has the type of the standard, and `list` is valid for the write.
    check(unsafe { entry(&mut list) }).map_err(|code| format!("C_GetFunctionList: {code:#x}"))?;
    // SAFETY: the list of a loaded module does not move and is not changed.
    let list = unsafe { list.as_ref() };
    list.ok_or_else(|| "C_GetFunctionList returned no list".into())
}
