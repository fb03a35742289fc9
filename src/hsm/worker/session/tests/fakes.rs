//! The front's side of an HSM with fake workers.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{sleep, timeout};

use super::fixtures::{key, settings, tenant};
use crate::clock::Deadline;
use crate::ekm::{
    CallCount, DecryptJob, EncryptJob, Encrypted, KeyManagerError, KeyManagerFault, Opened, Served,
    Uncounted,
};
use crate::hsm::events::{Event, EventSender};
use crate::hsm::launcher_client::{StartedWorker, WorkerProcess};
use crate::hsm::metrics::HsmMetrics;
use crate::hsm::queue::job::Work;
use crate::hsm::state::HsmState;
use crate::hsm::worker::running::RunningWorker;
use crate::hsm_protocol::launch::WorkerEnd;
use crate::hsm_protocol::packet::{self, Wait};
use crate::hsm_protocol::{Answer, Cost, FromSession, Job, MAX_FRAME, Outcome, Task};
use crate::iv::Iv;
use crate::metrics::Metrics;
use crate::secret::SecretBytes;

/// A timeout far above the time that any test needs.
pub(in crate::hsm) const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two checks of a condition.
const POLL: Duration = Duration::from_millis(1);

/// An HSM whose supervisor and workers are played by the test.
pub(in crate::hsm) struct TestHsm {
    pub state: Arc<HsmState>,
    events: Mutex<UnboundedReceiver<Event>>,
}

/// The worker's ends of the sockets.
pub(in crate::hsm) struct FakeWorker {
    pub control: Option<OwnedFd>,
    pub sessions: Vec<Option<OwnedFd>>,
    _output: OwnedFd,
    _end: oneshot::Sender<WorkerEnd>,
}

/// A pending answer.
pub(in crate::hsm) struct PendingAnswer<T>(oneshot::Receiver<Result<Served<T>, KeyManagerError>>);

impl TestHsm {
    pub(in crate::hsm) fn new() -> Self {
        let (sender, events) = EventSender::new();
        let metrics = HsmMetrics::declare(&Metrics::default(), Arc::new(|_| {})).unwrap();
        let for_hsm = metrics.for_hsm("hsm-a");
        Self {
            state: Arc::new(HsmState::new(settings(), for_hsm, sender)),
            events: Mutex::new(events),
        }
    }

    /// Starts a worker.
    pub(in crate::hsm) fn begin(
        &self,
        number: u32,
        sessions: u32,
    ) -> (FakeWorker, Arc<RunningWorker>) {
        let pairs: Vec<_> = (0..sessions).map(|_| packet::pair().unwrap()).collect();
        let (of_front, of_worker): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let (control, controlled) = packet::pair().unwrap();
        let (output, written) = rustix::pipe::pipe().unwrap();
        let (ended, end) = oneshot::channel();
        // Tokio requires non-blocking sockets.
        of_front.iter().chain([&control]).for_each(|socket| {
            rustix::io::ioctl_fionbio(socket, true).unwrap();
        });
        rustix::io::ioctl_fionbio(&output, true).unwrap();
        let started = StartedWorker {
            process: WorkerProcess::fake(number),
            control,
            output,
            sessions: of_front,
            end,
        };
        let worker = FakeWorker {
            control: Some(controlled),
            sessions: of_worker.into_iter().map(Some).collect(),
            _output: written,
            _end: ended,
        };
        (worker, RunningWorker::begin(&self.state, started).unwrap())
    }

    /// Starts a worker, and lets it serve.
    pub(in crate::hsm) async fn serves(&self, number: u32, sessions: u32) -> FakeWorker {
        let (worker, running) = self.begin(number, sessions);
        worker.ready(&running).await;
        assert!(self.state.take_over(&running.view));
        worker
    }

    /// Starts the next worker, after the front has noticed the death of the previous one.
    pub(in crate::hsm) async fn after_death(&self, number: u32, sessions: u32) -> FakeWorker {
        eventually(|| self.state.serving().is_none()).await;
        // A session of the dead worker has ended.
        self.await_event(|event| matches!(event, Event::SessionEnded(_)))
            .await;
        tokio::task::yield_now().await;
        self.serves(number, sessions).await
    }

    /// Waits for an event.
    pub(in crate::hsm) async fn await_event(&self, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut events = self.events.lock().await;
        let found = async {
            loop {
                let event = events.recv().await.expect("an event");
                if wanted(&event) {
                    return event;
                }
            }
        };
        timeout(PATIENCE, found).await.expect("an event")
    }

    /// The events that have arrived.
    pub(in crate::hsm) async fn events(&self) -> Vec<Event> {
        let mut events = self.events.lock().await;
        std::iter::from_fn(|| events.try_recv().ok()).collect()
    }

    pub(in crate::hsm) fn encrypt(&self, plaintext: &[u8]) -> PendingAnswer<Encrypted> {
        self.encrypt_within(plaintext, PATIENCE)
    }

    pub(in crate::hsm) fn encrypt_within(
        &self,
        plaintext: &[u8],
        budget: Duration,
    ) -> PendingAnswer<Encrypted> {
        encrypt_on(&self.state, plaintext, budget)
    }

    /// The parts for a supervisor.
    pub(in crate::hsm) fn into_parts(self) -> (Arc<HsmState>, UnboundedReceiver<Event>) {
        (self.state, self.events.into_inner())
    }

    /// Decrypts `length` bytes and a tag.
    pub(in crate::hsm) fn decrypt(&self, length: usize) -> PendingAnswer<Opened> {
        let (reply, answer) = oneshot::channel();
        let job = DecryptJob {
            tenant: tenant(),
            key: key(),
            iv: Iv::ANY,
            ciphertext_and_tag: vec![2; length + 16].into(),
            aad: b"aad"[..].into(),
            or_aad: None,
            deadline: Deadline::after(PATIENCE),
            calls: CallCount::default(),
            encryptions: Arc::new(Uncounted),
        };
        self.state.submit(Work::Decrypt(job, reply));
        PendingAnswer(answer)
    }
}

/// Encrypts, with this time until the deadline.
pub(in crate::hsm) fn encrypt_on(
    state: &HsmState,
    plaintext: &[u8],
    budget: Duration,
) -> PendingAnswer<Encrypted> {
    let (reply, answer) = oneshot::channel();
    let job = EncryptJob {
        tenant: tenant(),
        key: key(),
        plaintext: Arc::new(SecretBytes::new(plaintext.to_vec())),
        aad: b"aad"[..].into(),
        must_decrypt: false,
        digest: None,
        deadline: Deadline::after(budget),
        calls: CallCount::default(),
        encryptions: Arc::new(Uncounted),
    };
    state.submit(Work::Encrypt(job, reply));
    PendingAnswer(answer)
}

impl FakeWorker {
    /// Reports all sessions as ready, and waits until the front has noticed.
    pub(in crate::hsm) async fn ready(&self, running: &RunningWorker) {
        for session in 0..self.sessions.len() {
            self.send(session, &FromSession::Ready.to_frame());
        }
        eventually(|| {
            running
                .view
                .sessions
                .iter()
                .all(|session| session.is_ready())
        })
        .await;
    }

    /// Sends a packet on a session.
    pub(in crate::hsm) fn send(&self, session: usize, packet: &[u8]) {
        let socket = self.sessions[session].as_ref().expect("an open session");
        packet::send(socket, packet, &[], Wait::Yes).unwrap();
    }

    pub(in crate::hsm) fn answer(id: u64, outcome: Outcome) -> Vec<u8> {
        let cost = Cost {
            worked: Duration::from_micros(10),
            encrypt_calls: 1,
            encryptions: 1,
            ..Cost::default()
        };
        FromSession::Answer(Answer { id, cost, outcome }).to_frame()
    }

    /// Receives the jobs that have arrived, with their sessions.
    pub(in crate::hsm) fn jobs(&self) -> Vec<(usize, Job)> {
        let sockets = self.sessions.iter().enumerate();
        sockets
            .filter_map(|(session, socket)| Some((session, socket.as_ref()?)))
            .flat_map(|(session, socket)| {
                received(socket).into_iter().map(move |job| (session, job))
            })
            .collect()
    }

    /// Receives the packets of the first session, and returns the number of jobs of each.
    pub(in crate::hsm) fn packets(&self) -> Vec<usize> {
        let socket = self.sessions[0].as_ref().expect("an open session");
        let next = || packet::receive(socket, MAX_FRAME, Wait::No).ok().flatten();
        std::iter::from_fn(next)
            .map(|packet| Job::from_packet(&packet.bytes).unwrap().len())
            .collect()
    }

    /// Waits for one job.
    pub(in crate::hsm) async fn job(&self) -> (usize, Job) {
        let job = async {
            loop {
                match self.jobs().pop() {
                    Some(job) => return job,
                    None => sleep(POLL).await,
                }
            }
        };
        timeout(PATIENCE, job).await.expect("a job")
    }

    /// Answers all encryption jobs that have arrived.
    pub(in crate::hsm) fn seal_all(&self) {
        for (session, job) in self.jobs() {
            if let Task::Encrypt { plaintext, .. } = &job.task {
                let outcome = Outcome::Encrypted(encrypted(plaintext.expose()));
                self.send(session, &Self::answer(job.id, outcome));
            }
        }
    }

    /// Closes the session that has an unread job.
    pub(in crate::hsm) fn close_session_with_a_job(&mut self) {
        let has_job = |socket: &Option<OwnedFd>| {
            let socket = socket.as_ref().expect("an open session");
            rustix::io::ioctl_fionread(socket).unwrap() > 0
        };
        let session = self.sessions.iter_mut().find(|socket| has_job(socket));
        *session.expect("a session with a job") = None;
    }
}

impl<T: std::fmt::Debug> PendingAnswer<T> {
    pub(in crate::hsm) async fn outcome(self) -> Result<Served<T>, KeyManagerError> {
        let answer = timeout(PATIENCE, self.0).await.expect("an answer in time");
        answer.expect("an answer")
    }

    pub(in crate::hsm) async fn served(self) -> Served<T> {
        self.outcome().await.expect("success")
    }

    pub(in crate::hsm) async fn fault(self) -> KeyManagerFault {
        self.outcome().await.expect_err("a failure").fault
    }

    /// Waits without getting an answer, and leaves.
    pub(in crate::hsm) async fn leave(self) {
        let gone = timeout(Duration::from_millis(20), self.0).await;
        assert!(gone.is_err(), "no answer");
    }
}

impl PendingAnswer<Encrypted> {
    /// The ciphertext or the error, if the answer has arrived.
    pub(in crate::hsm) fn now(&mut self) -> Option<Result<Vec<u8>, KeyManagerFault>> {
        let outcome = self.0.try_recv().ok()?;
        let outcome = outcome.map(|served| served.value.ciphertext);
        Some(outcome.map_err(|error| error.fault))
    }

    /// Waits for the ciphertext.
    pub(in crate::hsm) async fn encrypted(self) -> Vec<u8> {
        self.served().await.value.ciphertext
    }

    /// Waits for the ciphertext, while this worker answers its jobs.
    pub(in crate::hsm) async fn encrypted_by(mut self, worker: &FakeWorker) -> Vec<u8> {
        let answer = async {
            loop {
                worker.seal_all();
                if let Ok(answer) = timeout(POLL, &mut self.0).await {
                    return answer.expect("an answer").expect("success");
                }
            }
        };
        let served = timeout(PATIENCE, answer).await.expect("an answer in time");
        served.value.ciphertext
    }
}

/// The result of a fake encryption: the ciphertext is the plaintext.
pub(in crate::hsm) fn encrypted(plaintext: &[u8]) -> Encrypted {
    static IVS: AtomicU64 = AtomicU64::new(1);
    let mut iv = [0; 12];
    iv[..8].copy_from_slice(&IVS.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    Encrypted {
        iv: Iv::new(&iv).unwrap(),
        ciphertext: plaintext.to_vec(),
        tag: [3; 16],
        digest: None,
    }
}

/// Waits for a condition.
pub(in crate::hsm) async fn eventually(condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, poll).await.expect("the condition");
}

pub(in crate::hsm) fn received(socket: impl AsFd) -> Vec<Job> {
    let next = || packet::receive(&socket, MAX_FRAME, Wait::No).ok().flatten();
    let frames = std::iter::from_fn(next);
    frames
        .flat_map(|packet| Job::from_packet(&packet.bytes).unwrap())
        .collect()
}
