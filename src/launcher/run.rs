//! The loop of the launcher.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;

use super::logins::{LoginFile, Logins};
use super::plan::Plan;
use super::processes::channel::{Channel, REQUESTS_PER_TURN, Received};
use super::processes::children::reap_orphans;
use super::processes::front::Front;
use super::processes::workers::Workers;
use super::restrict::restrict;
use super::signals::Signals;
use crate::hsm_protocol::launch::inherited;
use crate::hsm_protocol::launch::{
    Frame as _, FrontMessage, FrontRequest, HsmName, SettingsChoice, Text,
};

/// How long killed workers may take to end. A process in an uninterruptible system call must not keep the service running.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause before a packet is sent again after the system had no memory for it.
pub(super) const RETRY: Duration = Duration::from_millis(50);

/// Starts the front, and workers when the front requests them, until the front ends. Returns the exit code of the service: the front's,
/// or 70 when a signal ended the front. Call it on the main thread, before other threads are started.
///
/// # Errors
/// When the front cannot be started, or the operating system fails a call that the launcher needs.
pub fn run(plan: &Plan) -> io::Result<u8> {
    // First: by default, SIGHUP ends the process.
    let signals = Signals::handle()?;
    restrict();
    inherited::keep_from_children()?;
    let front = Front::start(&plan.commands.front)?;
    let (file, entries, warnings) = LoginFile::open(plan.state_directory.as_deref());
    let mut launcher = Launcher {
        plan,
        signals,
        front,
        workers: Workers::new(Logins::new(file, entries)),
    };
    warnings.iter().for_each(|warning| launcher.warn(warning));
    launcher.run()
}

struct Launcher<'a> {
    plan: &'a Plan,
    signals: Signals,
    front: Front,
    workers: Workers,
}

impl Launcher<'_> {
    fn run(mut self) -> io::Result<u8> {
        loop {
            self.front.forward(&self.signals);
            self.workers.answer();
            self.report_ends();
            self.workers.answer_logins();
            if let Some(warning) = self.workers.save_warning() {
                self.warn(&warning);
            }
            self.answer_front();
            if let Some(code) = self.front.exit_code() {
                self.stop_workers()?;
                return Ok(code);
            }
            reap_orphans();
            self.wait()?;
        }
    }

    /// Sends a warning to the front, which logs it.
    fn warn(&mut self, warning: &str) {
        let warning = FrontMessage::Warning(Text::new(warning));
        self.front.channel.send(&warning);
    }

    fn report_ends(&mut self) {
        for (worker, end) in self.workers.ended() {
            let message = FrontMessage::Ended { worker, end };
            self.front.channel.send(&message);
        }
    }

    fn answer_front(&mut self) {
        self.front.channel.flush();
        for _ in 0..REQUESTS_PER_TURN {
            match self.front.channel.receive() {
                Ok(Received::Frame(request)) => self.answer(request),
                Ok(Received::Nothing | Received::Closed) => return,
                Err(error) => return self.front.kill(&error),
            }
        }
    }

    fn answer(&mut self, request: FrontRequest) {
        match request {
            FrontRequest::HandlesSignals => {
                self.front.handles_signals();
                self.front.forward(&self.signals);
            }
            FrontRequest::Start {
                request,
                hsm,
                sessions,
                settings,
            } => self.start(request, hsm, sessions, settings),
            FrontRequest::Kill { worker } => self.workers.kill(worker),
            FrontRequest::Good { worker } => self.workers.keep_settings(worker),
        }
    }

    fn start(&mut self, request: u32, hsm: HsmName, sessions: u16, settings: SettingsChoice) {
        match self.workers.start(self.plan, hsm, sessions, settings) {
            Ok((worker, descriptors)) => {
                let message = FrontMessage::Started {
                    request,
                    worker,
                    sessions,
                };
                let more = || FrontMessage::Descriptors.encode();
                self.front.channel.send_with(&message, descriptors, more);
            }
            Err(error) => {
                let reason = Text::new(&error.to_string());
                let message = FrontMessage::NotStarted { request, reason };
                self.front.channel.send(&message);
            }
        }
    }

    /// Waits for a signal, the end of a process, or a frame.
    fn wait(&mut self) -> io::Result<()> {
        let channels = self.workers.channels().chain([&self.front.channel]);
        let open: Vec<&Channel> = channels.filter(|channel| channel.is_open()).collect();
        let is_stalled = open.iter().any(|channel| channel.is_stalled());
        let channel_events = open.iter().map(|channel| channel.event());
        let events = channel_events.chain([self.signals.event()]).collect();
        wait_for(events, is_stalled.then_some(RETRY))?;
        self.signals.clear_wake();
        Ok(())
    }

    /// Kills the workers, and waits for their ends.
    fn stop_workers(&mut self) -> io::Result<()> {
        self.workers.kill_all();
        let give_up = Instant::now() + PATIENCE;
        loop {
            self.workers.ended();
            let left = give_up.saturating_duration_since(Instant::now());
            if self.workers.is_empty() || left.is_zero() {
                return Ok(());
            }
            wait_for(vec![self.signals.event()], Some(left))?;
            self.signals.clear_wake();
        }
    }
}

/// Waits for one of the events, for a signal, or for the end of the timeout.
pub(super) fn wait_for(mut events: Vec<PollFd<'_>>, timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(Timespec::try_from).transpose();
    let timeout = timeout.map_err(io::Error::other)?;
    match poll(&mut events, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
