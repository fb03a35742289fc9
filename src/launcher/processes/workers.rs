//! All workers of the launcher, by number.

use std::collections::{BTreeMap, HashMap};
use std::io;

use super::channel::{Channel, REQUESTS_PER_TURN};
use super::worker::{FrontDescriptors, Worker};
use crate::hsm_protocol::launch::{
    HsmName, SettingsBytes, SettingsChoice, Text, WorkerEnd, WorkerMessage, WorkerRequest,
};
use crate::launcher::logins::{Decision, LoginFile, Logins};
use crate::launcher::plan::Plan;
use crate::launcher::standard_error::print_error;

/// The most workers at a time, to bound what a compromised front can start. Each HSM has one worker, or two while it is replaced.
const MAX_WORKERS: usize = 256;

/// The most HSMs for which settings are kept.
const MAX_NAMES: usize = 1024;

/// The running workers, the last good settings of each HSM, and the logins.
pub(in crate::launcher) struct Workers {
    running: BTreeMap<u32, Worker>,
    last_number: u32,
    last_good: HashMap<HsmName, SettingsBytes>,
    logins: Logins<LoginFile>,
}

impl Workers {
    /// Creates an empty set with this record of logins.
    pub(in crate::launcher) fn new(logins: Logins<LoginFile>) -> Self {
        Self {
            running: BTreeMap::new(),
            last_number: 0,
            last_good: HashMap::new(),
            logins,
        }
    }

    /// Starts a worker. Returns its number and the descriptors for the front.
    ///
    /// # Errors
    /// When [`MAX_WORKERS`] run already, or the system cannot start a process.
    pub(in crate::launcher) fn start(
        &mut self,
        plan: &Plan,
        hsm: HsmName,
        sessions: u16,
        settings: SettingsChoice,
    ) -> io::Result<(u32, FrontDescriptors)> {
        if self.running.len() >= MAX_WORKERS {
            let reason = format!("{MAX_WORKERS} workers run already");
            return Err(io::Error::other(reason));
        }
        let (worker, descriptors) = Worker::start(plan, hsm, sessions, settings)?;
        self.last_number = self.last_number.wrapping_add(1);
        self.running.insert(self.last_number, worker);
        Ok((self.last_number, descriptors))
    }

    /// Kills a worker, if it has not ended.
    pub(in crate::launcher) fn kill(&self, number: u32) {
        if let Some(worker) = self.running.get(&number) {
            worker.kill();
        }
    }

    /// Kills all workers.
    pub(in crate::launcher) fn kill_all(&self) {
        self.running.values().for_each(Worker::kill);
    }

    /// Keeps the settings of a worker that serves as the last good ones of its HSM.
    pub(in crate::launcher) fn keep_settings(&mut self, number: u32) {
        let Some(worker) = self.running.get(&number) else {
            return;
        };
        let has_capacity =
            self.last_good.len() < MAX_NAMES || self.last_good.contains_key(&worker.hsm);
        if let (Some(settings), true) = (worker.settings(), has_capacity) {
            self.last_good.insert(worker.hsm.clone(), settings.clone());
        }
    }

    /// Removes and returns the workers that have ended, after handling what they sent before.
    pub(in crate::launcher) fn ended(&mut self) -> Vec<(u32, WorkerEnd)> {
        let mut ends = Vec::new();
        for (number, worker) in &mut self.running {
            if let Some(end) = worker.end() {
                ends.push((*number, end));
            }
        }
        for (number, _) in &ends {
            if let Some(mut worker) = self.running.remove(number) {
                // Includes the report of a login that ended just before.
                answer_or_kill((*number, &mut worker), None, &mut self.logins);
            }
            self.logins.worker_ended(*number);
        }
        ends
    }

    /// Returns whether no worker runs.
    pub(in crate::launcher) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Returns the channels of all workers.
    pub(in crate::launcher) fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.running.values().map(Worker::channel)
    }

    /// Answers the requests of workers, except for logins. A worker that violates the protocol is killed.
    pub(in crate::launcher) fn answer(&mut self) {
        for (number, worker) in &mut self.running {
            let last_good = self.last_good.get(&worker.hsm);
            answer_or_kill((*number, worker), last_good, &mut self.logins);
        }
    }

    /// Answers the workers that want to log in.
    pub(in crate::launcher) fn answer_logins(&mut self) {
        while let Some((number, decision)) = self.logins.decide() {
            let Some(worker) = self.running.get_mut(&number) else {
                continue;
            };
            worker.answer(&match decision {
                Decision::Allowed => WorkerMessage::LoginAllowed,
                Decision::Refused(reason) => WorkerMessage::LoginRefused(Text::new(&reason)),
            });
        }
    }

    /// Returns a warning, once, when the record of logins can no longer be written.
    pub(in crate::launcher) fn save_warning(&mut self) -> Option<String> {
        let error = self.logins.take_save_error()?;
        Some(format!(
            "the record of logins cannot be written: {error}; after a restart, rejected PINs are tried again"
        ))
    }
}

type Numbered<'a> = (u32, &'a mut Worker);

fn answer_or_kill(
    (number, worker): Numbered<'_>,
    last_good: Option<&SettingsBytes>,
    logins: &mut Logins<LoginFile>,
) {
    if let Err(error) = answer((number, worker), last_good, logins) {
        let name = worker.hsm.as_str();
        print_error(&format!(
            "the worker of the HSM {name:?} sent an invalid frame and is killed: {error}"
        ));
        worker.kill();
    }
}

fn answer(
    (number, worker): Numbered<'_>,
    last_good: Option<&SettingsBytes>,
    logins: &mut Logins<LoginFile>,
) -> io::Result<()> {
    for _ in 0..REQUESTS_PER_TURN {
        let Some(request) = worker.request()? else {
            break;
        };
        match request {
            WorkerRequest::Settings(settings) => worker.store(settings)?,
            WorkerRequest::LastGood => worker.use_last_good(last_good)?,
            WorkerRequest::Parts => worker.send_parts()?,
            WorkerRequest::LoginBegins { serial, pin } => {
                logins.begin(number, worker.requester()?, (serial, pin))?;
            }
            WorkerRequest::LoginEnded(outcome) => logins.end(number, outcome)?,
        }
    }
    Ok(())
}
