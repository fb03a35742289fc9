//! The workers of a command of the operator: the command acts as launcher and as front.
//!
//! # Invariants
//! - No wait is longer than its deadline, whatever the worker does, and a worker is killed with its process group when it is dropped.
//! - After a token rejected a PIN, or a worker ended or hung during a login, no worker logs in to that token again.
//! - No worker logs in with a PIN that the token rejected according to the record of the service, unless the operator requests it.

mod output;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::logins::{CommandRecord, Requester};
use super::plan::Plan;
use super::processes::worker::Worker;
use super::restrict::restrict;
use super::run::{RETRY, wait_for};
use crate::hsm_protocol::MAX_CONTROL_FRAME;
use crate::hsm_protocol::launch::{
    HsmName, LoginOutcome, PinFingerprint, Serial, SettingsChoice, Text, WorkerEnd, WorkerMessage,
    WorkerRequest,
};
use crate::hsm_protocol::packet::{self, Wait};
use crate::token_access::{self, StartWorker, WorkerFault};
use output::CommandOutput;
pub use output::Print;

/// How long a worker may take to finalize its library after the command closed its channel, and a killed worker to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts the workers of a command. The kernel kills them when the thread that started them ends.
pub struct CommandWorkers {
    plan: Plan,
    print: Print,
    logins: Rc<RefCell<Logins>>,
}

impl CommandWorkers {
    /// Restricts the process and creates the starter. `print` receives the name of an HSM and a line that its library wrote. Logins that the
    /// record in the plan's state directory forbids are not made; with `tries_rejected`, each token gets one attempt nevertheless.
    pub fn new(plan: Plan, print: Print, tries_rejected: bool) -> Self {
        restrict();
        let record = CommandRecord::new(plan.state_directory.clone(), tries_rejected);
        Self {
            plan,
            print,
            logins: Rc::new(RefCell::new(Logins::new(record))),
        }
    }
}

impl StartWorker for CommandWorkers {
    fn start(&self, hsm: &str) -> io::Result<Box<dyn token_access::Worker>> {
        let name = HsmName::new(hsm).ok_or(io::ErrorKind::InvalidInput)?;
        // The protocol requires at least one session; this worker does not use it.
        let (worker, descriptors) = Worker::start(&self.plan, name, 1, SettingsChoice::Current)?;
        let mut descriptors = descriptors.into_iter();
        let (control, output) = (descriptors.next(), descriptors.next());
        let output = output.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(CommandWorker {
            end: worker.end_event()?,
            has_ended: false,
            worker,
            control,
            output: CommandOutput::new(hsm, output, self.print)?,
            logins: Rc::clone(&self.logins),
            logging_in: None,
        }))
    }
}

/// The tokens to which no worker may log in any more, with the reasons, and the record of the service.
struct Logins {
    closed: HashMap<Serial, &'static str>,
    record: CommandRecord,
}

impl Logins {
    fn new(record: CommandRecord) -> Self {
        Self {
            closed: HashMap::new(),
            record,
        }
    }

    fn begin(
        &mut self,
        serial: Serial,
        pin: PinFingerprint,
        requester: Requester,
    ) -> Result<(), String> {
        if let Some(reason) = self.closed.get(&serial) {
            return Err((*reason).to_owned());
        }
        self.record.begin((serial, pin), requester)?;
        let reason = "the process of a PKCS#11 library ended during a login to the token; no further login is attempted";
        self.closed.insert(serial, reason);
        Ok(())
    }

    fn end(&mut self, serial: Serial, outcome: LoginOutcome) {
        self.record.end(serial, outcome);
        match outcome {
            LoginOutcome::Rejected(_) => {
                let reason = "the token has rejected a PIN already; no further login is attempted";
                self.closed.insert(serial, reason);
            }
            LoginOutcome::LoggedIn | LoginOutcome::Other => drop(self.closed.remove(&serial)),
        }
    }
}

struct CommandWorker {
    worker: Worker,
    /// The control channel; none when the worker or the command has closed it.
    control: Option<OwnedFd>,
    output: CommandOutput,
    /// Readable when the process has ended.
    end: OwnedFd,
    has_ended: bool,
    logins: Rc<RefCell<Logins>>,
    logging_in: Option<Serial>,
}

impl token_access::Worker for CommandWorker {
    fn send(&mut self, frame: &[u8]) -> Result<(), WorkerFault> {
        let control = self.control.as_ref();
        let control = control.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        match packet::send(control, frame, &[], Wait::No) {
            // `receive` reports why the worker ended.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            sent => Ok(sent?),
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<Vec<u8>, WorkerFault> {
        loop {
            self.output.relay();
            if let Some(frame) = self.frame()? {
                // The worker sent the report of a login before this answer.
                self.answer()?;
                return Ok(frame);
            }
            self.answer()?;
            if let Some(end) = self.end() {
                return Err(WorkerFault::Ended(end));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(WorkerFault::Hangs);
            }
            self.wait(left)?;
        }
    }

    fn kill(&mut self) {
        self.worker.kill();
        self.output.relay();
    }
}

impl CommandWorker {
    /// Returns a frame of the worker, if one has arrived.
    fn frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(control) = &self.control else {
            return Ok(None);
        };
        match packet::receive(control, MAX_CONTROL_FRAME, Wait::No) {
            Ok(Some(packet)) => Ok(Some(packet.bytes)),
            Ok(None) => {
                self.control = None;
                Ok(None)
            }
            Err(error) if is_transient(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Answers the requests that the worker sends to its launcher.
    fn answer(&mut self) -> io::Result<()> {
        while let Some(request) = self.worker.request()? {
            match request {
                WorkerRequest::Settings(settings) => self.worker.store(settings)?,
                WorkerRequest::LastGood => self.worker.use_last_good(None)?,
                WorkerRequest::Parts => self.worker.send_parts()?,
                WorkerRequest::LoginBegins { serial, pin } => self.login_begins(serial, pin)?,
                WorkerRequest::LoginEnded(outcome) => {
                    let serial = self.logging_in.take();
                    let serial = serial
                        .ok_or_else(|| io::Error::other("end of a login that did not begin"))?;
                    self.logins.borrow_mut().end(serial, outcome);
                }
            }
        }
        Ok(())
    }

    fn login_begins(&mut self, serial: Serial, pin: PinFingerprint) -> io::Result<()> {
        if self.logging_in.is_some() {
            return Err(io::Error::other("login during another login"));
        }
        let requester = self.worker.requester()?;
        let permission = self.logins.borrow_mut().begin(serial, pin, requester);
        self.worker.answer(&match permission {
            Ok(()) => {
                self.logging_in = Some(serial);
                WorkerMessage::LoginAllowed
            }
            Err(reason) => WorkerMessage::LoginRefused(Text::new(&reason)),
        });
        Ok(())
    }

    /// Returns how the process ended, once.
    fn end(&mut self) -> Option<WorkerEnd> {
        let end = self.worker.end()?;
        self.has_ended = true;
        self.output.relay();
        Some(end)
    }

    /// Waits for an event, for at most this time.
    fn wait(&self, left: Duration) -> io::Result<()> {
        let channel = self.worker.channel();
        let mut events = vec![PollFd::new(&self.end, PollFlags::IN)];
        events.extend(channel.is_open().then(|| channel.event()));
        let control = self.control.as_ref();
        events.extend(control.map(|control| PollFd::new(control, PollFlags::IN)));
        events.extend(self.output.event());
        let timeout = if channel.is_stalled() { RETRY } else { left };
        wait_for(events, Some(timeout.min(left)))
    }
}

/// Waits until the worker has finalized its library, for at most [`PATIENCE`].
impl Drop for CommandWorker {
    fn drop(&mut self) {
        self.control = None;
        let give_up = Instant::now() + PATIENCE;
        while !self.has_ended && self.end().is_none() {
            self.output.relay();
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() || self.answer().is_err() || self.wait(left).is_err() {
                break;
            }
        }
        self.output.end();
    }
}

fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, WouldBlock};
    matches!(error.kind(), Interrupted | WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::hsm_protocol::launch::SettingsBytes;

    fn requester() -> Requester {
        let settings = SettingsBytes::new(vec![1]).unwrap();
        Requester::new(&HsmName::new("hsm-a").unwrap(), &settings)
    }

    #[test]
    fn a_token_gets_one_wrong_pin() {
        let (a, b) = (Serial([1; 16]), Serial([2; 16]));
        let mut logins = Logins::new(CommandRecord::new(None, false));
        let mut number = 0;
        let mut begin = |logins: &mut Logins, serial| {
            number += 1;
            logins.begin(serial, PinFingerprint([number; 32]), requester())
        };
        for outcome in [LoginOutcome::LoggedIn, LoginOutcome::Other] {
            assert_eq!(begin(&mut logins, a), Ok(()));
            logins.end(a, outcome);
        }
        assert_eq!(begin(&mut logins, a), Ok(()));
        logins.end(a, LoginOutcome::Rejected(0xa0));
        let error = begin(&mut logins, a).unwrap_err();
        assert!(error.contains("rejected a PIN"), "also for another PIN");
        assert_eq!(begin(&mut logins, b), Ok(()));
        // The worker ended without a report: the token may have counted an attempt.
        let error = begin(&mut logins, b).unwrap_err();
        assert!(error.contains("ended during"));
    }
}
