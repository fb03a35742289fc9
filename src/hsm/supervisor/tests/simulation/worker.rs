//! A worker of the simulation, and the next step of each of its sessions.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use tokio::sync::oneshot;

use super::SESSIONS;
use crate::hsm::events::{Event, NotOpened};
use crate::hsm::worker::session::Session;
use crate::hsm::worker::session::tests::fakes::encrypted;
use crate::hsm::worker::view::WorkerView;
use crate::hsm_protocol::launch::WorkerEnd;
use crate::hsm_protocol::{Answer, Cost, Job, Outcome, Task};

/// A worker: the front's view of it, and its ends of the sockets.
pub(super) struct FakeWorker {
    pub(super) number: u32,
    pub(super) view: Option<Arc<WorkerView>>,
    pub(super) control: OwnedFd,
    pub(super) sockets: Vec<OwnedFd>,
    pub(super) rejects: bool,
    pub(super) has_reported: bool,
    pub(super) is_dead: bool,
    pub(super) begun: [bool; SESSIONS],
    pub(super) over: [bool; SESSIONS],
    pub(super) end: Option<oneshot::Sender<WorkerEnd>>,
    pub(super) _output: OwnedFd,
}

/// The next step of a session.
pub(super) enum Step {
    Nothing,
    Report(Event),
    Begin(Arc<Session>),
    Answer(Arc<Session>, Vec<Job>),
    End(Arc<Session>, u32, bool),
}

impl FakeWorker {
    /// Chooses the next step of the session with this number.
    pub(super) fn step(&mut self, at: usize) -> Step {
        let Some(view) = &self.view else {
            return Step::Nothing;
        };
        let session = Arc::clone(&view.sessions[at]);
        if self.over[at] {
            return Step::Nothing;
        }
        if self.is_dead || self.is_closed() {
            self.over[at] = true;
            let is_last = self.over == [true; SESSIONS];
            return Step::End(session, self.number, is_last);
        }
        if at == 0 && !self.has_reported {
            self.has_reported = true;
            return Step::Report(self.report());
        }
        if !self.begun[at] && !self.rejects {
            self.begun[at] = true;
            return Step::Begin(session);
        }
        match next_jobs(&self.sockets[at]) {
            Some(jobs) => Step::Answer(session, jobs),
            None => Step::Nothing,
        }
    }

    fn report(&self) -> Event {
        match self.rejects {
            true => Event::NotOpened(self.number, NotOpened::because("no such token")),
            false => Event::Opened(self.number),
        }
    }

    /// Returns whether the front has closed the control channel.
    fn is_closed(&self) -> bool {
        let mut buffer = vec![0; 70_000];
        loop {
            match recv(&self.control, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return true,
                // An order, which is ignored.
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

/// Receives the jobs of the next packet, if one has arrived.
fn next_jobs(socket: &OwnedFd) -> Option<Vec<Job>> {
    let mut buffer = vec![0; 4_096];
    let (_, length) = recv(socket, &mut buffer[..], RecvFlags::DONTWAIT).ok()?;
    Job::from_packet(buffer.get(..length)?).ok()
}

/// Answers a job with [`sealed`].
pub(super) fn answer(job: &Job) -> Answer {
    let Task::Encrypt { plaintext, .. } = &job.task else {
        panic!("{job:?}")
    };
    Answer {
        id: job.id,
        cost: Cost {
            worked: Duration::from_micros(10),
            encrypt_calls: 1,
            encryptions: 1,
            ..Cost::default()
        },
        outcome: Outcome::Encrypted(encrypted(plaintext.expose())),
    }
}
