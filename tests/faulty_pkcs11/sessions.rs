//! The sessions of the client. Each uses a session of the wrapped module.
//!
//! *Invariants*: a handle is never reused. At most one call at a time runs on a session of the wrapped module, and none on a closed
//! session. The gauge in the control block equals the size of the map.

#![expect(unsafe_code, reason = "calls of the wrapped module")]

use std::collections::HashMap;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cryptoki_sys::{
    CK_FLAGS, CK_NOTIFY, CK_SESSION_HANDLE, CK_SLOT_ID, CK_VOID_PTR, CKF_RW_SESSION,
    CKR_SESSION_COUNT, CKR_SESSION_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN,
};

use crate::gcm::Operation;
use crate::module::{Answer, Module, call, hold};

/// A session. The call that uses it holds its lock.
pub struct Session {
    pub real: CK_SESSION_HANDLE,
    pub operation: Operation,
    /// The hash of the label of the last key.
    pub key_label: u64,
    slot: Arc<Slot>,
    flags: CK_FLAGS,
    open: bool,
}

/// The login state of a slot, which outlives its sessions.
struct Slot {
    id: CK_SLOT_ID,
    login_epoch: AtomicU64,
}

/// The open sessions, by the handle of the client.
#[derive(Default)]
pub struct Sessions {
    open: RwLock<Map>,
    slots: Mutex<HashMap<CK_SLOT_ID, Arc<Slot>>>,
    last: AtomicU64,
}

type Map = HashMap<CK_SESSION_HANDLE, Arc<Mutex<Session>>>;

impl Sessions {
    /// Opens a session, unless the limit is reached.
    pub fn open(
        &self,
        module: &Module,
        slot: CK_SLOT_ID,
        flags: CK_FLAGS,
        notification: (CK_VOID_PTR, CK_NOTIFY),
    ) -> Answer<CK_SESSION_HANDLE> {
        let mut open = self.write();
        let limit = module.control.block().session_limit.load(SeqCst);
        if limit != 0 && open.len() as u64 >= limit {
            return Err(CKR_SESSION_COUNT);
        }
        let rejection = module.control.block().read_only_code.load(SeqCst);
        if rejection != 0 && flags & CKF_RW_SESSION == 0 {
            return Err(rejection);
        }
        let mut real = 0;
        let (application, notify) = notification;
        call!(
            module,
            C_OpenSession(slot, flags, application, notify, &mut real)
        )?;
        let handle = self.last.fetch_add(1, SeqCst) + 1;
        let slot = self.slot(module, slot);
        let session = Session {
            real,
            operation: Operation::None,
            key_label: 0,
            slot,
            flags,
            open: true,
        };
        open.insert(handle, Arc::new(Mutex::new(session)));
        module.control.block().sessions_opened.fetch_add(1, SeqCst);
        publish(module, &open);
        Ok(handle)
    }

    /// Finds an open session.
    pub fn find(&self, handle: CK_SESSION_HANDLE) -> Answer<Arc<Mutex<Session>>> {
        self.read()
            .get(&handle)
            .cloned()
            .ok_or(CKR_SESSION_HANDLE_INVALID)
    }

    /// Closes a session.
    pub fn close(&self, module: &Module, handle: CK_SESSION_HANDLE) -> Answer {
        let closed = self.take(module, |candidate, _| candidate == handle);
        let session = closed.first().ok_or(CKR_SESSION_HANDLE_INVALID)?;
        hold(session).close(module)
    }

    /// Closes the sessions of one slot, or all sessions.
    pub fn close_all(&self, module: &Module, slot: Option<CK_SLOT_ID>) {
        let concerned =
            |session: &Mutex<Session>| slot.is_none_or(|slot| slot == hold(session).slot.id);
        for session in self.take(module, |_, session| concerned(session)) {
            // An error has no effect: the session was removed from the map, so no call can use it.
            let _ = hold(&session).close(module);
        }
    }

    /// Removes all sessions, after the wrapped module has closed them.
    pub fn forget_all(&self, module: &Module) {
        for session in self.take(module, |_, _| true) {
            hold(&session).open = false;
        }
        hold(&self.slots).clear();
    }

    /// Logs out of all slots. `Session::must_be_logged_in` fails until the next login.
    pub fn log_out(&self, module: &Module) {
        let all: Vec<_> = self.read().values().cloned().collect();
        for session in all {
            // Only the first call for each slot succeeds.
            let _ = call!(module, C_Logout(hold(&session).real));
        }
    }

    fn take(
        &self,
        module: &Module,
        wanted: impl Fn(CK_SESSION_HANDLE, &Mutex<Session>) -> bool,
    ) -> Vec<Arc<Mutex<Session>>> {
        let mut open = self.write();
        let taken = open.extract_if(|handle, session| wanted(*handle, session));
        let taken = taken.map(|(_, session)| session).collect();
        publish(module, &open);
        taken
    }

    fn slot(&self, module: &Module, id: CK_SLOT_ID) -> Arc<Slot> {
        let login_epoch = || AtomicU64::new(module.applied.login_epoch());
        let new = || {
            Arc::new(Slot {
                id,
                login_epoch: login_epoch(),
            })
        };
        hold(&self.slots).entry(id).or_insert_with(new).clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Map> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Map> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn publish(module: &Module, open: &Map) {
    let gauge = &module.control.block().open_sessions;
    gauge.store(open.len() as u64, SeqCst);
}

impl Session {
    /// Fails if the session was closed while this call waited for its lock.
    pub fn must_be_open(&self) -> Answer {
        self.open.then_some(()).ok_or(CKR_SESSION_HANDLE_INVALID)
    }

    /// Fails if the login was lost. The wrapped module checks whether there was a login.
    pub fn must_be_logged_in(&self, module: &Module) -> Answer {
        let current = self.slot.login_epoch.load(SeqCst) == module.applied.login_epoch();
        current.then_some(()).ok_or(CKR_USER_NOT_LOGGED_IN)
    }

    /// Notes a login of the client in this epoch.
    pub fn logged_in(&self, epoch: u64) {
        self.slot.login_epoch.store(epoch, SeqCst);
    }

    /// Ends the active operation in the wrapped module by replacing the session. The new session is opened first, because closing the last
    /// session logs out.
    pub fn restart(&mut self, module: &Module) {
        let (slot, mut fresh) = (self.slot.id, 0);
        let opened = call!(
            module,
            C_OpenSession(slot, self.flags, ptr::null_mut(), None, &mut fresh)
        );
        if opened.is_ok() {
            // The module cannot do anything about an error.
            let _ = call!(module, C_CloseSession(self.real));
            self.real = fresh;
        }
        self.operation = Operation::None;
    }

    fn close(&mut self, module: &Module) -> Answer {
        self.open = false;
        call!(module, C_CloseSession(self.real))
    }
}
