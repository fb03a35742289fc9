//! What befalls the whole module: sessions lost, login lost, finalized behind the client's back.
//!
//! The test increments a counter; the module notices at its next call, whichever that is, and does
//! to the wrapped module what the event says, so that nothing of the old state is left below.

#![expect(unsafe_code, reason = "calls of the wrapped module")]

use std::ptr;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::control::Block;
use crate::module::{Module, call};

/// How many events of each kind have been applied.
pub struct Applied {
    sessions: AtomicU64,
    logins: AtomicU64,
    finalizes: AtomicU64,
}

impl Applied {
    /// Nothing that happened before the module was loaded concerns it.
    pub fn so_far(block: &Block) -> Self {
        let copy = |epoch: &AtomicU64| AtomicU64::new(epoch.load(SeqCst));
        Self {
            sessions: copy(&block.session_epoch),
            logins: copy(&block.login_epoch),
            finalizes: copy(&block.finalize_epoch),
        }
    }

    fn is_behind(&self, block: &Block) -> bool {
        let differ =
            |done: &AtomicU64, wanted: &AtomicU64| done.load(SeqCst) != wanted.load(SeqCst);
        differ(&self.sessions, &block.session_epoch)
            || differ(&self.logins, &block.login_epoch)
            || differ(&self.finalizes, &block.finalize_epoch)
    }

    /// The login epoch a login made now belongs to.
    pub fn login_epoch(&self) -> u64 {
        self.logins.load(SeqCst)
    }
}

impl Module {
    /// Applies what has happened since the last call. No lock may be held.
    ///
    /// Nobody is inside the wrapped module meanwhile: SoftHSM answers a call with
    /// `CKR_GENERAL_ERROR` if the login goes away under it, and crashes if the library does.
    pub fn reconcile(&self) {
        if !self.applied.is_behind(self.control.block()) {
            return;
        }
        let mut life = self.life.write().unwrap_or_else(PoisonError::into_inner);
        let (block, applied) = (self.control.block(), &self.applied);
        if advanced(&applied.finalizes, &block.finalize_epoch) {
            if *life {
                // The event is that it is gone: a wrapped module that objects changes nothing.
                let _ = call!(self, C_Finalize(ptr::null_mut()));
            }
            *life = false;
            self.sessions.forget_all(self);
        }
        if advanced(&applied.sessions, &block.session_epoch) {
            self.sessions.close_all(self, None);
        }
        if advanced(&applied.logins, &block.login_epoch) {
            self.sessions.log_out(self);
        }
    }
}

/// Catches up with the test, and tells whether there was anything to catch up with.
fn advanced(done: &AtomicU64, wanted: &AtomicU64) -> bool {
    let epoch = wanted.load(SeqCst);
    done.swap(epoch, SeqCst) != epoch
}
