//! Events of the whole module: lost sessions, a lost login, or a finalized library.
//!
//! A test increments a counter. At its next call, the module applies the event to the wrapped module.

#![expect(unsafe_code, reason = "calls of the wrapped module")]

use std::ptr;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::control::Block;
use crate::module::{Module, call};

/// The number of applied events of each kind.
pub struct Applied {
    sessions: AtomicU64,
    logins: AtomicU64,
    finalizes: AtomicU64,
}

impl Applied {
    /// Ignores events before the module was loaded.
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

    /// The current login epoch.
    pub fn login_epoch(&self) -> u64 {
        self.logins.load(SeqCst)
    }
}

impl Module {
    /// Applies the events since the last call. The caller must not hold a lock.
    ///
    /// No other call is inside the wrapped module at this time: SoftHSM returns `CKR_GENERAL_ERROR` if the login is lost during a call, and
    /// crashes if the library is finalized.
    pub fn reconcile(&self) {
        if !self.applied.is_behind(self.control.block()) {
            return;
        }
        let mut is_initialized = self
            .is_initialized
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let (block, applied) = (self.control.block(), &self.applied);
        if advanced(&applied.finalizes, &block.finalize_epoch) {
            if *is_initialized {
                // The event applies even if the wrapped module returns an error.
                let _ = call!(self, C_Finalize(ptr::null_mut()));
            }
            *is_initialized = false;
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

/// Updates the number of applied events. Returns whether there was a new event.
fn advanced(done: &AtomicU64, wanted: &AtomicU64) -> bool {
    let epoch = wanted.load(SeqCst);
    done.swap(epoch, SeqCst) != epoch
}
