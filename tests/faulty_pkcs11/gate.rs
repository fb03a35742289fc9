//! The first steps of every call: it is counted, and may hang, be delayed or fail on command. Then it is rejected if the library is
//! finalized, the token is removed, the session is closed or the login is lost.
//!
//! *Invariants*: no panic unwinds into the client. No lock is held while a call hangs or sleeps, so a hanging call delays only its caller.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::sleep;
use std::time::Duration;

use cryptoki_sys::{
    CK_RV, CK_SESSION_HANDLE, CKR_BUFFER_TOO_SMALL, CKR_DEVICE_REMOVED, CKR_GENERAL_ERROR, CKR_OK,
};

use rustix::process::{Signal, getpid, kill_process};

use crate::control::{
    FOREVER, Function, FunctionBlock, HANGS_ALL, HANGS_NEXT, HANGS_ONE, ProcessEnd,
};
use crate::misdeeds;
use crate::module::{Answer, Module, hold};
use crate::sessions::Session;

/// The login requirement of a function. A lost login affects only functions that need a login.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Login {
    Needed,
    NotNeeded,
}

/// Runs a call that needs no token, or that handles the removal of the token.
pub fn on_module(function: Function, work: impl FnOnce(&'static Module) -> Answer) -> CK_RV {
    let answer = || {
        let module = Module::loaded()?;
        let _inside = Inside::enter(module, function);
        module.interfere(function)?;
        module.reconcile();
        work(module)
    };
    // A panic leaves no inconsistent state for later calls, because locks recover from poisoning.
    match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(code)) => code,
        Err(_) => CKR_GENERAL_ERROR,
    }
}

/// Runs a call that needs the token.
pub fn on_slot(function: Function, work: impl FnOnce(&Module) -> Answer) -> CK_RV {
    on_module(function, |module| {
        let _running = module.running()?;
        module.must_be_present()?;
        work(module)
    })
}

/// Runs a call of a session. `work` has exclusive access to the session.
pub fn on_session(
    function: Function,
    handle: CK_SESSION_HANDLE,
    login: Login,
    work: impl FnOnce(&Module, &mut Session) -> Answer,
) -> CK_RV {
    let mut reached = false;
    let code = on_slot(function, |module| {
        let entry = module.sessions.find(handle)?;
        let mut session = hold(&entry);
        session.must_be_open()?;
        if login == Login::Needed {
            session.must_be_logged_in(module)?;
        }
        reached = true;
        work(module, &mut session)
    });
    if !reached && ends_operation(function) && code != CKR_BUFFER_TOO_SMALL {
        // An error means that the session does not exist. Its operation ended with it.
        let _ = end_operation(handle);
    }
    code
}

impl Module {
    /// Fails if the token is removed.
    pub fn must_be_present(&self) -> Answer {
        if self.removed() {
            Err(CKR_DEVICE_REMOVED)
        } else {
            Ok(())
        }
    }

    fn interfere(&self, function: Function) -> Answer {
        let block = self.control.block().function(function);
        misdeeds::commit(block);
        hang(block);
        self.delay(block);
        let is_for_one_key = self.control.block().failing_key.load(SeqCst) != 0;
        if is_for_one_key && has_key(function) {
            return Ok(());
        }
        end_process(block);
        match take_failure(block) {
            Some(code) => Err(code),
            None => Ok(()),
        }
    }

    /// Fails a call if failures are limited to one key and the session uses this key.
    pub fn fail_key(&self, function: Function, session: &mut Session) -> Answer {
        let block = self.control.block().function(function);
        let failing_key = self.control.block().failing_key.load(SeqCst);
        if failing_key == 0 || session.key_label != failing_key {
            return Ok(());
        }
        end_process(block);
        let Some(code) = take_failure(block) else {
            return Ok(());
        };
        if ends_operation(function) && code != CKR_BUFFER_TOO_SMALL {
            session.restart(self);
        }
        Err(code)
    }

    fn delay(&self, block: &FunctionBlock) {
        let fixed = block.delay.load(SeqCst);
        let random = match block.random_delay.load(SeqCst) {
            0 => 0,
            limit => self.noise(limit),
        };
        let micros = fixed.saturating_add(random);
        if micros > 0 {
            sleep(Duration::from_micros(micros));
        }
    }
}

/// Returns whether a call of this function uses a key whose label the module has stored.
fn has_key(function: Function) -> bool {
    use Function::*;
    matches!(function, EncryptInit | Encrypt | DecryptInit | Decrypt)
}

/// Whether an error of this function ends the active operation (PKCS#11 2.40 section 5). After an injected error, the operation must also
/// be ended in the wrapped module, otherwise the next one would fail.
fn ends_operation(function: Function) -> bool {
    use Function::*;
    matches!(
        function,
        Encrypt
            | EncryptUpdate
            | EncryptFinal
            | Decrypt
            | DecryptUpdate
            | DecryptFinal
            | Digest
            | DigestUpdate
            | DigestKey
            | DigestFinal
            | FindObjectsFinal
            | Sign
            | SignUpdate
            | SignFinal
            | SignRecover
            | Verify
            | VerifyUpdate
            | VerifyFinal
            | VerifyRecover
    )
}

fn end_operation(handle: CK_SESSION_HANDLE) -> Answer {
    let module = Module::loaded()?;
    let _running = module.running()?;
    let entry = module.sessions.find(handle)?;
    let mut session = hold(&entry);
    session.must_be_open()?;
    session.restart(module);
    Ok(())
}

fn hang(block: &FunctionBlock) {
    let hangs = block.hang.load(SeqCst);
    let held = match hangs {
        HANGS_ALL => HANGS_ALL,
        HANGS_NEXT
            if block
                .hang
                .compare_exchange(hangs, HANGS_ONE, SeqCst, SeqCst)
                .is_ok() =>
        {
            HANGS_ONE
        }
        _ => return,
    };
    block.stuck.fetch_add(1, SeqCst);
    while block.hang.load(SeqCst) == held {
        sleep(Duration::from_millis(1));
    }
    block.stuck.fetch_sub(1, SeqCst);
}

/// Ends the process, like a defect of a library.
fn end_process(block: &FunctionBlock) {
    match ProcessEnd::of(block.end.load(SeqCst)) {
        Some(ProcessEnd::Exit(code)) => exit(code.into()),
        Some(ProcessEnd::Signal(signal)) => {
            if let Some(signal) = Signal::from_named_raw(signal.into()) {
                // Twice: Rust's handler for SIGSEGV restores the default action and expects that the signal is raised again.
                for _ in 0..2 {
                    let _ = kill_process(getpid(), signal);
                }
            }
        }
        None => {}
    }
}

fn take_failure(block: &FunctionBlock) -> Option<CK_RV> {
    let spend = |left| match left {
        0 => None,
        FOREVER => Some(FOREVER),
        left => Some(left - 1),
    };
    block.fail_count.fetch_update(SeqCst, SeqCst, spend).ok()?;
    block.injected.fetch_add(1, SeqCst);
    Some(block.fail_code.load(SeqCst))
}

/// Counts a call as inside the module while this value lives.
struct Inside(&'static Module);

impl Inside {
    fn enter(module: &'static Module, function: Function) -> Self {
        let block = module.control.block();
        block.function(function).calls.fetch_add(1, SeqCst);
        let inside = block.in_flight.fetch_add(1, SeqCst) + 1;
        block.max_in_flight.fetch_max(inside, SeqCst);
        Self(module)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // A process that has loaded the module during this call has reset the count to 0.
        let in_flight = &self.0.control.block().in_flight;
        let _ = in_flight.fetch_update(SeqCst, SeqCst, |calls| calls.checked_sub(1));
    }
}
