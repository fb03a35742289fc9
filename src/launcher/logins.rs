//! The record of logins. It prevents that wrong PINs add up to a locked token, also after crashes and restarts.
//!
//! A worker requests permission before it calls `C_Login`, and reports how the call ended. The record is on disk before the worker gets the
//! permission.
//!
//! | event | effect on the record |
//! | --- | --- |
//! | the token accepted the PIN | the entry is removed |
//! | the token rejected the PIN | no worker logs in with this PIN |
//! | a worker ended between the permission and its report | one attempt may be used up; the second such event stops logins |
//! | the call failed for a different reason | as if there had been no permission |
//!
//! An HSM whose settings changed gets one more attempt. The record contains the settings that had their attempt, so changing them back and
//! forth gains none.
//!
//! # Invariants
//! - While no settings change, a token sees at most 2 attempts with a wrong PIN: over all workers, all `[[hsm]]` and all restarts.
//! - Each token has at most one login at a time.
//! - Commands of the operator follow the record. While no service runs, they also write it.
//! - The record contains no PIN: a PIN is identified by its file and the time of the file's last change.

mod command;
mod entry;
mod file;
mod store;

use std::collections::{BTreeMap, VecDeque};
use std::io;

use crate::hsm_protocol::launch::{LoginOutcome, PinFingerprint, Serial};
use entry::Entry;

pub(super) use command::CommandRecord;
pub(super) use entry::Requester;
pub(super) use file::LoginFile;
pub(super) use store::Store;

/// The most entries that one HSM may cause: a library that reports a new serial number each time must not fill the disk.
const MAX_ENTRIES: usize = 16;

/// A token and a PIN.
type LoginKey = (Serial, PinFingerprint);

/// The answer to a worker that requests a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The worker may call `C_Login` once.
    Allowed,
    /// The worker must not call `C_Login`, for this reason.
    Refused(String),
}

/// The record of logins, with running and waiting logins. Workers are identified by number.
pub(super) struct Logins<S> {
    store: S,
    entries: BTreeMap<LoginKey, Entry>,
    running: BTreeMap<Serial, Running>,
    waiting: VecDeque<Waiting>,
    save_error: Option<String>,
    cannot_save: bool,
}

struct Running {
    worker: u32,
    key: LoginKey,
    requester: Requester,
    is_first: bool,
}

struct Waiting {
    worker: u32,
    key: LoginKey,
    requester: Requester,
}

impl<S: Store> Logins<S> {
    /// Creates the record with the entries that the store holds.
    pub(super) fn new(store: S, entries: Vec<Entry>) -> Self {
        let entries = entries.into_iter().map(|entry| (entry.key(), entry));
        Self {
            store,
            entries: entries.collect(),
            running: BTreeMap::new(),
            waiting: VecDeque::new(),
            save_error: None,
            cannot_save: false,
        }
    }

    /// Notes that a worker requests a login. [`Logins::decide`] returns the answer.
    ///
    /// # Errors
    /// When the worker has a login already.
    pub(super) fn begin(
        &mut self,
        worker: u32,
        requester: Requester,
        key: LoginKey,
    ) -> io::Result<()> {
        let mut running = self.running.values().map(|running| running.worker);
        let mut waiting = self.waiting.iter().map(|waiting| waiting.worker);
        if running.any(|other| other == worker) || waiting.any(|other| other == worker) {
            return Err(io::Error::other("login during another login"));
        }
        self.waiting.push_back(Waiting {
            worker,
            key,
            requester,
        });
        Ok(())
    }

    /// Records how the login of a worker ended.
    ///
    /// # Errors
    /// When the worker has no permission.
    pub(super) fn end(&mut self, worker: u32, outcome: LoginOutcome) -> io::Result<()> {
        let running = self.take_running(worker);
        let running =
            running.ok_or_else(|| io::Error::other("end of a login that did not begin"))?;
        if let Some(entry) = self.entries.get_mut(&running.key) {
            entry.end(&running.requester, running.is_first, outcome);
            if entry.is_empty() {
                self.entries.remove(&running.key);
            }
            self.save();
        }
        Ok(())
    }

    /// Notes that a worker has ended. If it had permission to log in, the record counts that already.
    pub(super) fn worker_ended(&mut self, worker: u32) {
        self.waiting.retain(|waiting| waiting.worker != worker);
        self.take_running(worker);
    }

    /// Returns the next answer, with the number of the worker that waits for it.
    pub(super) fn decide(&mut self) -> Option<(u32, Decision)> {
        let mut waiting = self.waiting.iter();
        let next = waiting.position(|waiting| !self.running.contains_key(&waiting.key.0))?;
        let Waiting {
            worker,
            key,
            requester,
        } = self.waiting.remove(next)?;
        if let Err(reason) = self.check_capacity(&requester, key) {
            return Some((worker, Decision::Refused(reason)));
        }
        let entry = self.entries.entry(key).or_insert_with(|| Entry::new(key));
        let answer = entry.begin(&requester);
        let decision = match answer {
            Ok(is_first) => {
                let running = Running {
                    worker,
                    key,
                    requester,
                    is_first,
                };
                self.running.insert(key.0, running);
                Decision::Allowed
            }
            Err(reason) => Decision::Refused(reason),
        };
        // The record must be on disk before the worker gets the answer.
        self.save();
        Some((worker, decision))
    }

    /// Returns why the record cannot be saved, once per series of failures.
    pub(super) fn take_save_error(&mut self) -> Option<String> {
        self.save_error.take()
    }

    fn take_running(&mut self, worker: u32) -> Option<Running> {
        let mut running = self.running.iter();
        let (serial, _) = running.find(|(_, running)| running.worker == worker)?;
        let serial = *serial;
        self.running.remove(&serial)
    }

    fn check_capacity(&self, requester: &Requester, key: LoginKey) -> Result<(), String> {
        let caused = self.entries.values().filter(|entry| entry.is_of(requester));
        match !self.entries.contains_key(&key) && caused.count() >= MAX_ENTRIES {
            true => Err(format!(
                "this HSM has caused {MAX_ENTRIES} entries in the record of logins"
            )),
            false => Ok(()),
        }
    }

    fn save(&mut self) {
        let entries: Vec<Entry> = self.entries.values().cloned().collect();
        let saved = self.store.save(&entries);
        if let (Err(error), false) = (&saved, self.cannot_save) {
            self.save_error = Some(error.to_string());
        }
        self.cannot_save = saved.is_err();
    }
}

#[cfg(test)]
mod tests;
