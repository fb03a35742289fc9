//! What every call walks through: counted, hung, delayed, failed on command; then refused if the
//! library is finalized, the token gone, the session closed or the login lost.
//!
//! *Invariants*: nothing unwinds into the client; no lock is held while a call hangs or sleeps, so
//! a hung call holds up nobody but its caller.

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

/// Whether a function needs a user who is logged in. That a login was lost shows only there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Login {
    Needed,
    NotNeeded,
}

/// A call of the library itself, or one that knows best what removal means to it.
pub fn on_module(function: Function, work: impl FnOnce(&'static Module) -> Answer) -> CK_RV {
    let answer = || {
        let module = Module::loaded()?;
        let _inside = Inside::enter(module, function);
        module.interfere(function)?;
        module.reconcile();
        work(module)
    };
    // The closure leaves nothing half done that a later call would see: locks recover.
    match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(code)) => code,
        Err(_) => CKR_GENERAL_ERROR,
    }
}

/// A call of a token.
pub fn on_slot(function: Function, work: impl FnOnce(&Module) -> Answer) -> CK_RV {
    on_module(function, |module| {
        let _running = module.running()?;
        module.must_be_present()?;
        work(module)
    })
}

/// A call of a session, which is this call's alone until `work` returns.
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
        // A session that cannot be found has no operation to end.
        let _ = end_operation(handle);
    }
    code
}

impl Module {
    /// The token is in its slot.
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

    /// Fails a call for the one key that failures concern, if there is such a key and the session has an operation with it.
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

/// Whether a call of this function is about one key of which the module knows the label.
fn has_key(function: Function) -> bool {
    use Function::*;
    matches!(function, EncryptInit | Encrypt | DecryptInit | Decrypt)
}

/// An error of these ends the active operation (PKCS#11 2.40 section 5): if it never reached the
/// wrapped module, the operation would still be active there and the next one would be refused.
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

/// Ends the process, as a defect of a library does.
fn end_process(block: &FunctionBlock) {
    match ProcessEnd::of(block.end.load(SeqCst)) {
        Some(ProcessEnd::Exit(code)) => exit(code.into()),
        Some(ProcessEnd::Signal(signal)) => {
            if let Some(signal) = Signal::from_named_raw(signal.into()) {
                // Twice: the handler of Rust for SIGSEGV only restores the default action and expects the fault to happen again.
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

/// A call is inside the module as long as this lives.
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
        // Another process that loads the module meanwhile sets the number to 0: this call is not in it any more.
        let in_flight = &self.0.control.block().in_flight;
        let _ = in_flight.fetch_update(SeqCst, SeqCst, |calls| calls.checked_sub(1));
    }
}
