//! The simulation: the steps of each of its threads.

mod launcher;
mod worker;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use self::worker::{FakeWorker, Step, answer};
use crate::ekm::KeyManagerFault;
use crate::hsm::events::Event;
use crate::hsm::launcher_client::fake_launcher::FakeLauncher;
use crate::hsm::state::HsmState;
use crate::hsm::supervisor::Supervisor;
use crate::hsm::worker::session::tests::fakes::{PendingAnswer, TestHsm, encrypt_on, received};
use crate::hsm_protocol::FromSession;
use crate::hsm_protocol::launch::WorkerEnd;
use crate::sync::schedule::point;

/// The number of sessions per worker.
pub(super) const SESSIONS: usize = 2;

/// The faults of failed jobs.
pub(super) type Failures = Vec<KeyManagerFault>;

/// A timeout far above the time that a simulation needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The state that the threads share. Its locks are never held when [`point`] is called.
pub(super) struct Simulation {
    pub(super) state: Arc<HsmState>,
    /// The number of further workers that fail to open the token.
    pub(super) to_reject: AtomicUsize,
    pub(super) incident_is_over: AtomicBool,
    runtime: Handle,
    supervisor: Mutex<Option<Supervisor>>,
    launcher: Mutex<Option<FakeLauncher>>,
    workers: Mutex<Vec<Arc<Mutex<FakeWorker>>>>,
    clients_left: AtomicUsize,
    /// True if the supervisor has nothing to do.
    is_idle: AtomicBool,
    failures: Mutex<Failures>,
}

impl Simulation {
    pub(super) fn new(runtime: Handle) -> Self {
        let (state, events) = TestHsm::new().into_parts();
        let (workers, launcher) = FakeLauncher::new();
        let supervisor = Supervisor::new(Arc::clone(&state), workers, events);
        Self {
            state,
            to_reject: AtomicUsize::new(0),
            incident_is_over: AtomicBool::new(false),
            runtime,
            supervisor: Mutex::new(Some(supervisor)),
            launcher: Mutex::new(Some(launcher)),
            workers: Mutex::default(),
            clients_left: AtomicUsize::new(2),
            is_idle: AtomicBool::new(false),
            failures: Mutex::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.incident_is_over.load(Ordering::Relaxed)
            && self.clients_left.load(Ordering::Relaxed) == 0
    }

    fn workers(&self) -> Vec<Arc<Mutex<FakeWorker>>> {
        self.workers.lock().unwrap().clone()
    }

    /// A client: encrypts `jobs` times, and waits for the answers.
    pub(super) fn client(&self, client: usize, jobs: usize) {
        self.until_serving();
        let texts: Vec<Vec<u8>> = (0..jobs)
            .map(|job| format!("{client} {job}").into_bytes())
            .collect();
        let sent: Vec<PendingAnswer<_>> = texts
            .iter()
            .map(|text| {
                point();
                encrypt_on(&self.state, text, PATIENCE)
            })
            .collect();
        for (text, mut answer) in texts.iter().zip(sent) {
            let outcome = loop {
                match answer.now() {
                    Some(outcome) => break outcome,
                    None => point(),
                }
            };
            match outcome {
                Ok(ciphertext) => assert_eq!(ciphertext, *text, "the answer of another job"),
                Err(fault) => self.failures.lock().unwrap().push(fault),
            }
        }
        self.clients_left.fetch_sub(1, Ordering::Relaxed);
    }

    /// The task of the supervisor. Pauses are skipped.
    pub(super) fn supervise(&self) {
        let _context = self.runtime.enter();
        let mut supervisor = self.supervisor.lock().unwrap().take().unwrap();
        while !self.is_over() {
            let now = Instant::now();
            supervisor.next_attempt = supervisor.next_attempt.map(|(_, purpose)| (now, purpose));
            supervisor.suspended_since = supervisor.suspended_since.map(|_| now);
            complete(supervisor.check_timeouts());
            self.note_views(&supervisor);
            while let Ok(event) = supervisor.events.try_recv() {
                supervisor.handle(event);
                point();
            }
            let is_busy = supervisor.opening.is_some() || supervisor.next_attempt.is_some();
            self.is_idle
                .store(!is_busy && supervisor.events.is_empty(), Ordering::Relaxed);
            point();
        }
        *self.supervisor.lock().unwrap() = Some(supervisor);
    }

    fn note_views(&self, supervisor: &Supervisor) {
        let serving = supervisor.serving.iter().map(|serving| &serving.running);
        let workers = serving.chain(supervisor.opening.iter().map(|opening| &opening.running));
        for running in workers {
            for worker in self.workers() {
                let mut worker = worker.lock().unwrap();
                if worker.number == running.number() {
                    worker.view = Some(Arc::clone(&running.view));
                }
            }
        }
    }

    /// The sessions with this number, of all workers.
    pub(super) fn session(&self, at: usize) {
        while !self.is_over() {
            for worker in self.workers() {
                self.run_step(&worker, at);
                point();
            }
            point();
        }
    }

    fn run_step(&self, worker: &Mutex<FakeWorker>, at: usize) {
        let step = {
            let mut worker = worker.lock().unwrap();
            worker.step(at)
        };
        match step {
            Step::Nothing => {}
            Step::Report(event) => self.state.event_sender().send(event),
            Step::Begin(session) => {
                let ready = vec![FromSession::Ready];
                session.handle_answers(&*self.state, ready).unwrap();
            }
            Step::Answer(session, jobs) => {
                let answers = jobs.iter().map(answer).map(FromSession::Answer).collect();
                session.handle_answers(&*self.state, answers).unwrap();
            }
            Step::End(session, number, is_last) => {
                session.end(&*self.state);
                self.state.event_sender().send(Event::SessionEnded(number));
                if is_last {
                    let end = worker.lock().unwrap().end.take();
                    drop(end);
                    self.state
                        .event_sender()
                        .ended(number, Some(WorkerEnd::Killed(9)));
                }
            }
        }
    }

    // ---- conditions

    pub(super) fn until_serving(&self) {
        while !self.state.is_usable() {
            point();
        }
    }

    /// Waits until `count` workers have been started since the beginning.
    pub(super) fn until_started(&self, count: usize) {
        while self.workers().len() < count {
            point();
        }
    }

    /// Waits until a worker serves and no other worker is opening the token.
    pub(super) fn until_settled(&self) {
        self.is_idle.store(false, Ordering::Relaxed);
        loop {
            let serving = self.state.serving();
            let is_whole = serving.is_some_and(|view| {
                let number = view.number;
                let is_alive = self.workers().iter().any(|worker| {
                    let worker = worker.lock().unwrap();
                    worker.number == number && !worker.is_dead && worker.begun == [true; SESSIONS]
                });
                is_alive && view.open_sessions() == SESSIONS + 1
            });
            if is_whole && self.is_idle.load(Ordering::Relaxed) {
                return;
            }
            point();
        }
    }

    /// Kills the serving worker, and waits until the front has noticed.
    pub(super) fn kill_serving(&self) {
        loop {
            if let Some(view) = self.state.serving() {
                self.kill(view.number);
                while self
                    .state
                    .serving()
                    .is_some_and(|now| now.number == view.number)
                {
                    point();
                }
                return;
            }
            point();
        }
    }

    // ---- checks at the end

    /// Checks that no job waits, and that each session of the serving worker gets a new job at once.
    pub(super) fn check_idle(&self) {
        assert_eq!(self.state.pool.depth(), 0);
        let serving = self.state.serving().expect("a worker that serves");
        assert!(!serving.is_busy());
        let _answers: Vec<_> = (0..SESSIONS)
            .map(|_| encrypt_on(&self.state, b"after", PATIENCE))
            .collect();
        for worker in self.workers() {
            let worker = worker.lock().unwrap();
            // A dead worker may have unread jobs.
            if worker.number == serving.number {
                let jobs = worker.sockets.iter().map(|socket| received(socket).len());
                assert_eq!(jobs.collect::<Vec<_>>(), [1; SESSIONS]);
            }
        }
    }

    pub(super) fn failures(&self) -> Failures {
        self.failures.lock().unwrap().clone()
    }
}

/// Polls until the future is ready. Other threads run between polls.
fn complete(future: impl Future<Output = ()>) {
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    while future.as_mut().poll(&mut context).is_pending() {
        point();
    }
}
