//! The record of logins: wrong PINs never add up to a locked token, whatever crashes.
//!
//! A worker asks before it calls `C_Login`, and reports how the call ended. The record is on disk before the worker gets its answer.
//!
//! | what happened | what the record says |
//! | --- | --- |
//! | the token accepted the PIN | nothing: the entry is removed |
//! | the token rejected the PIN | nobody logs in with this PIN |
//! | a worker ended between the permission and its report | one attempt may be used up; a second one like this stops logins |
//! | the call failed for a different reason | the permission did not happen |
//!
//! An HSM whose settings changed gets one attempt more. Which settings have had theirs is part of the record, so that changing them back
//! and forth gains nothing.
//!
//! # Invariants
//! - A token sees at most 2 attempts of one PIN, as long as no settings change: over all workers, all `[[hsm]]` and all restarts.
//! - At one token, one login runs at a time.
//! - Commands of the operator respect the record; while no service runs they write it, too.
//! - No PIN is in the record: a PIN is identified by where it is and when that was changed.

mod command;
mod entry;
mod file;
mod store;

use std::collections::{BTreeMap, VecDeque};
use std::io;

use crate::hsm_protocol::launch::{LoginOutcome, PinFingerprint, Serial};
use entry::Entry;

pub(super) use command::CommandRecord;
pub(super) use entry::Asker;
pub(super) use file::LoginFile;
pub(super) use store::Store;

/// Most entries that one HSM may cause. A library that reports a different serial number each time must not fill the disk.
const MAX_ENTRIES: usize = 16;

/// Which PIN at which token.
type Key = (Serial, PinFingerprint);

/// What the launcher answers to a worker that wants to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It may call `C_Login` once.
    Allowed,
    /// It must not, for this reason.
    Refused(String),
}

/// The record of logins, with those that run and those that wait. Workers are known by number.
pub(super) struct Logins<S> {
    store: S,
    entries: BTreeMap<Key, Entry>,
    running: BTreeMap<Serial, Running>,
    waiting: VecDeque<Waiting>,
    save_error: Option<String>,
    cannot_save: bool,
}

struct Running {
    worker: u32,
    key: Key,
    asker: Asker,
    is_first: bool,
}

struct Waiting {
    worker: u32,
    key: Key,
    asker: Asker,
}

impl<S: Store> Logins<S> {
    /// A record with these entries, which the store has kept.
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

    /// A worker wants to log in. [`Logins::decide`] returns the answer.
    ///
    /// # Errors
    /// When it logs in already.
    pub(super) fn begin(&mut self, worker: u32, asker: Asker, key: Key) -> io::Result<()> {
        let mut running = self.running.values().map(|running| running.worker);
        let mut waiting = self.waiting.iter().map(|waiting| waiting.worker);
        if running.any(|other| other == worker) || waiting.any(|other| other == worker) {
            return Err(io::Error::other("a login within a login"));
        }
        self.waiting.push_back(Waiting { worker, key, asker });
        Ok(())
    }

    /// The login of a worker ended.
    ///
    /// # Errors
    /// When it has no permission for one.
    pub(super) fn end(&mut self, worker: u32, outcome: LoginOutcome) -> io::Result<()> {
        let running = self.take_running(worker);
        let running = running.ok_or_else(|| io::Error::other("the end of no login"))?;
        if let Some(entry) = self.entries.get_mut(&running.key) {
            entry.end(&running.asker, running.is_first, outcome);
            if entry.says_nothing() {
                self.entries.remove(&running.key);
            }
            self.save();
        }
        Ok(())
    }

    /// A worker has ended. If it was logging in, the record counts that already.
    pub(super) fn worker_ended(&mut self, worker: u32) {
        self.waiting.retain(|waiting| waiting.worker != worker);
        self.take_running(worker);
    }

    /// The next answer, with the number of the worker that waits for it.
    pub(super) fn decide(&mut self) -> Option<(u32, Decision)> {
        let mut waiting = self.waiting.iter();
        let next = waiting.position(|waiting| !self.running.contains_key(&waiting.key.0))?;
        let Waiting { worker, key, asker } = self.waiting.remove(next)?;
        if let Err(reason) = self.check_room(&asker, key) {
            return Some((worker, Decision::Refused(reason)));
        }
        let entry = self.entries.entry(key).or_insert_with(|| Entry::new(key));
        let answer = entry.begin(&asker);
        let decision = match answer {
            Ok(is_first) => {
                let running = Running {
                    worker,
                    key,
                    asker,
                    is_first,
                };
                self.running.insert(key.0, running);
                Decision::Allowed
            }
            Err(reason) => Decision::Refused(reason),
        };
        // Before the worker gets the answer.
        self.save();
        Some((worker, decision))
    }

    /// Why the record cannot be saved any more, once until it can.
    pub(super) fn take_save_error(&mut self) -> Option<String> {
        self.save_error.take()
    }

    fn take_running(&mut self, worker: u32) -> Option<Running> {
        let mut running = self.running.iter();
        let (serial, _) = running.find(|(_, running)| running.worker == worker)?;
        let serial = *serial;
        self.running.remove(&serial)
    }

    fn check_room(&self, asker: &Asker, key: Key) -> Result<(), String> {
        let caused = self.entries.values().filter(|entry| entry.is_of(asker));
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
