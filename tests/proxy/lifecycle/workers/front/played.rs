//! A worker process; the test acts as its launcher and front.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;
use xks_proxy::hsm_protocol::launch::{
    Frame as _, MAX_FRAME as MAX_LAUNCH_FRAME, WorkerMessage, WorkerRequest,
};
use xks_proxy::hsm_protocol::packet::{self, Wait, pair};
use xks_proxy::hsm_protocol::{Answer, FromSession, Job, MAX_FRAME, News};

use crate::harness::metrics::eventually;
use crate::harness::setup::Setup;

/// The result of reading from a session.
#[derive(Debug)]
pub(super) enum FrontEvent {
    Answer(Answer, Vec<u8>),
    End,
}

/// The front of one worker that serves.
pub(super) struct Front {
    child: Child,
    control: OwnedFd,
    sessions: Vec<OwnedFd>,
    setup: Setup,
    _directory: TempDir,
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Front {
    /// Starts a worker with this number of sessions, and waits until all are ready.
    pub(super) fn start(sessions: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut setup = Setup::new(directory.path());
        setup.set("hsm", "sessions", &sessions.to_string());
        let config = setup.write();
        let (launcher, of_worker) = pair().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
            .arg("worker")
            .arg("--config")
            .arg(config)
            .args(["--hsm", "hsm-a"])
            .stdin(of_worker)
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let (control, of_control) = pair().unwrap();
        let pairs = (0..sessions).map(|_| pair().unwrap());
        let (of_front, parts): (Vec<_>, Vec<_>) = pairs.unzip();
        let parts = [of_control].into_iter().chain(parts).collect();
        // The thread ends with the worker.
        thread::spawn(move || launch(&launcher, parts));
        let front = Self {
            child,
            control,
            sessions: of_front,
            setup,
            _directory: directory,
        };
        for session in &front.sessions {
            let ready = packet::receive(session, MAX_FRAME, Wait::Yes).unwrap();
            let ready = FromSession::from_frame(&ready.expect("Ready").bytes).unwrap();
            assert!(matches!(ready, FromSession::Ready), "{ready:?}");
        }
        front
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Sends a packet on a session.
    pub(super) fn send(&self, session: usize, packet: &[u8]) {
        packet::send(&self.sessions[session], packet, &[], Wait::Yes).unwrap();
    }

    /// Sends a packet on the control channel.
    pub(super) fn order(&self, packet: &[u8]) {
        packet::send(&self.control, packet, &[], Wait::Yes).unwrap();
    }

    /// Sends a packet on the control channel. Returns whether the worker accepted it.
    pub(super) fn try_order(&self, packet: &[u8]) -> bool {
        packet::send(&self.control, packet, &[], Wait::Yes).is_ok()
    }

    /// Receives the next message of a session.
    pub(super) fn next_event(&self, session: usize) -> FrontEvent {
        let received = packet::receive(&self.sessions[session], MAX_FRAME, Wait::Yes).unwrap();
        let Some(packet) = received else {
            return FrontEvent::End;
        };
        match FromSession::from_frame(&packet.bytes).unwrap() {
            FromSession::Answer(answer) => FrontEvent::Answer(answer, packet.bytes),
            FromSession::Ready => panic!("ready again"),
        }
    }

    /// Sends a job and returns the answer.
    pub(super) fn ask(&self, session: usize, job: &Job) -> Answer {
        self.send(session, &job.to_frame());
        match self.next_event(session) {
            FrontEvent::Answer(answer, _) => {
                assert_eq!(answer.id, job.id);
                answer
            }
            FrontEvent::End => panic!("no answer to {job:?}"),
        }
    }

    pub(super) fn ask_for_frame(&self, session: usize, job: &Job) -> Vec<u8> {
        self.send(session, &job.to_frame());
        match self.next_event(session) {
            FrontEvent::Answer(_, frame) => frame,
            FrontEvent::End => panic!("no answer to {job:?}"),
        }
    }

    /// Sends a packet repeatedly until the worker accepts no more. Returns the number of packets.
    pub(super) fn flood(&self, session: usize, packet: &[u8], most: usize) -> usize {
        let socket = &self.sessions[session];
        let send = |_: &usize| packet::send(socket, packet, &[], Wait::No).is_ok();
        let first = (0..most).take_while(send).count();
        // The worker accepts packets while the socket has room for its answers.
        let mut sent = first;
        eventually("a worker that waits", || {
            let more = (0..most).take_while(send).count();
            sent += more;
            (more == 0 || sent >= most).then_some(())
        });
        sent
    }

    /// Receives news until one satisfies the condition. Returns all of them as frames.
    pub(super) fn news_until(&self, wanted: impl Fn(&News) -> bool) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let packet = packet::receive(&self.control, MAX_FRAME, Wait::Yes).unwrap();
            let packet = packet.expect("news").bytes;
            let is_wanted = wanted(&News::from_frame(&packet).unwrap());
            all.push(packet);
            if is_wanted {
                return all;
            }
        }
    }

    /// Returns the secrets that must never be sent: the PIN.
    pub(super) fn secrets(&self) -> Vec<Vec<u8>> {
        let pin = fs::read_to_string(self.setup.token.pin_file()).unwrap();
        vec![pin.trim().as_bytes().to_vec()]
    }

    pub(super) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    }
}

/// Answers the worker as the launcher does, until it ends.
fn launch(channel: &OwnedFd, mut parts: Vec<OwnedFd>) {
    let mut settings = None;
    while let Ok(Some(packet)) = packet::receive(channel, MAX_LAUNCH_FRAME, Wait::Yes) {
        let (message, descriptors) = match WorkerRequest::decode(&packet.bytes).unwrap() {
            WorkerRequest::Settings(bytes) => {
                settings = Some(bytes);
                (WorkerMessage::Stored, Vec::new())
            }
            WorkerRequest::LastGood => (WorkerMessage::LastGood(settings.clone()), Vec::new()),
            WorkerRequest::Parts => {
                let descriptors = std::mem::take(&mut parts);
                let sessions = u16::try_from(descriptors.len() - 1).unwrap();
                let settings = settings.clone().unwrap();
                (WorkerMessage::Parts { settings, sessions }, descriptors)
            }
            WorkerRequest::LoginBegins { .. } => (WorkerMessage::LoginAllowed, Vec::new()),
            WorkerRequest::LoginEnded(_) => continue,
        };
        let borrowed: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
        if packet::send(channel, &message.encode(), &borrowed, Wait::Yes).is_err() {
            return;
        }
    }
}
