//! The simulation: the steps of each of its threads.

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::ekm::KeyManagerFault;
use crate::hsm::events::Event;
use crate::hsm::launcher_client::StartedWorker;
use crate::hsm::launcher_client::fake_launcher::{Asked, PlayedLauncher, Starting};
use crate::hsm::state::Shared;
use crate::hsm::supervisor::Supervisor;
use crate::hsm::worker::session::Session;
use crate::hsm::worker::session::tests::fakes::{Answered, Scene, encrypt_on, received, sealed};
use crate::hsm::worker::view::Crew;
use crate::hsm_protocol::launch::WorkerEnd;
use crate::hsm_protocol::packet;
use crate::hsm_protocol::{Answer, Cost, FromSession, Job, Outcome, Task};
use crate::sync::schedule::point;

/// The number of sessions per worker.
pub(super) const SESSIONS: usize = 2;

/// The faults of failed jobs.
pub(super) type Failures = Vec<KeyManagerFault>;

/// A timeout far above the time that a simulation needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The state that the threads share. Its locks are never held when [`point`] is called.
pub(super) struct Stage {
    pub(super) shared: Arc<Shared>,
    /// The number of further workers that fail to open the token.
    pub(super) to_reject: AtomicUsize,
    pub(super) trouble_is_over: AtomicBool,
    runtime: Handle,
    supervisor: Mutex<Option<Supervisor>>,
    launcher: Mutex<Option<PlayedLauncher>>,
    workers: Mutex<Vec<Arc<Mutex<Worker>>>>,
    clients_left: AtomicUsize,
    /// Whether the supervisor has nothing to do.
    is_idle: AtomicBool,
    failures: Mutex<Failures>,
}

struct Worker {
    number: u32,
    crew: Option<Arc<Crew>>,
    control: OwnedFd,
    sockets: Vec<OwnedFd>,
    rejects: bool,
    has_reported: bool,
    is_dead: bool,
    begun: [bool; SESSIONS],
    over: [bool; SESSIONS],
    end: Option<oneshot::Sender<WorkerEnd>>,
    _output: OwnedFd,
}

impl Stage {
    pub(super) fn new(runtime: Handle) -> Self {
        let (shared, events) = Scene::new().into_parts();
        let (workers, launcher) = PlayedLauncher::new();
        let supervisor = Supervisor::new(Arc::clone(&shared), workers, events);
        Self {
            shared,
            to_reject: AtomicUsize::new(0),
            trouble_is_over: AtomicBool::new(false),
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
        self.trouble_is_over.load(Ordering::Relaxed)
            && self.clients_left.load(Ordering::Relaxed) == 0
    }

    fn workers(&self) -> Vec<Arc<Mutex<Worker>>> {
        self.workers.lock().unwrap().clone()
    }

    /// A client: encrypts `jobs` times, and waits for the answers.
    pub(super) fn client(&self, client: usize, jobs: usize) {
        self.until_serving();
        let texts: Vec<Vec<u8>> = (0..jobs)
            .map(|job| format!("{client} {job}").into_bytes())
            .collect();
        let sent: Vec<Answered<_>> = texts
            .iter()
            .map(|text| {
                point();
                encrypt_on(&self.shared, text, PATIENCE)
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
            complete(supervisor.look());
            self.note_crews(&supervisor);
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

    fn note_crews(&self, supervisor: &Supervisor) {
        let serving = supervisor.serving.iter().map(|serving| &serving.life);
        let lives = serving.chain(supervisor.opening.iter().map(|opening| &opening.life));
        for life in lives {
            for worker in self.workers() {
                let mut worker = worker.lock().unwrap();
                if worker.number == life.worker() {
                    worker.crew = Some(Arc::clone(&life.crew));
                }
            }
        }
    }

    /// The launcher: starts and kills workers.
    pub(super) fn launch(&self) {
        let mut launcher = self.launcher.lock().unwrap().take().unwrap();
        while !self.is_over() {
            match launcher.next() {
                Some(Asked::Start(starting)) => self.start(&launcher, starting),
                Some(Asked::Kill(number)) => self.kill(number),
                None => {}
            }
            point();
        }
        *self.launcher.lock().unwrap() = Some(launcher);
    }

    fn start(&self, launcher: &PlayedLauncher, starting: Starting) {
        let number = u32::try_from(self.workers().len()).unwrap() + 1;
        let pairs = (0..SESSIONS).map(|_| packet::pair().unwrap());
        let (of_front, sockets): (Vec<_>, Vec<_>) = pairs.unzip();
        let (control, of_worker) = packet::pair().unwrap();
        let (output, written) = rustix::pipe::pipe().unwrap();
        let (ended, end) = oneshot::channel();
        let is_rejected = |left: usize| left.checked_sub(1);
        let rejects =
            self.to_reject
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_rejected);
        let worker = Worker {
            number,
            crew: None,
            control: of_worker,
            sockets,
            rejects: rejects.is_ok(),
            has_reported: false,
            is_dead: false,
            begun: [false; SESSIONS],
            over: [false; SESSIONS],
            end: Some(ended),
            _output: written,
        };
        self.workers
            .lock()
            .unwrap()
            .push(Arc::new(Mutex::new(worker)));
        starting.started(Ok(StartedWorker {
            process: launcher.process(number),
            control,
            output,
            sessions: of_front,
            end,
        }));
    }

    fn kill(&self, number: u32) {
        for worker in self.workers() {
            let mut worker = worker.lock().unwrap();
            worker.is_dead |= worker.number == number;
        }
    }

    /// The sessions with this number, of all workers.
    pub(super) fn session(&self, at: usize) {
        while !self.is_over() {
            for worker in self.workers() {
                self.go_on(&worker, at);
                point();
            }
            point();
        }
    }

    fn go_on(&self, worker: &Mutex<Worker>, at: usize) {
        let step = {
            let mut worker = worker.lock().unwrap();
            worker.step(at)
        };
        match step {
            Step::Nothing => {}
            Step::Report(event) => self.shared.post().tell(event),
            Step::Begin(session) => {
                let ready = vec![FromSession::Ready];
                session.conclude_all(&*self.shared, ready).unwrap();
            }
            Step::Answer(session, jobs) => {
                let answers = jobs.iter().map(answer).map(FromSession::Answer).collect();
                session.conclude_all(&*self.shared, answers).unwrap();
            }
            Step::End(session, number, is_last) => {
                session.end(&*self.shared);
                self.shared.post().tell(Event::SessionEnded(number));
                if is_last {
                    let end = worker.lock().unwrap().end.take();
                    drop(end);
                    self.shared.post().ended(number, Some(WorkerEnd::Killed(9)));
                }
            }
        }
    }

    // ---- conditions

    pub(super) fn until_serving(&self) {
        while !self.shared.is_usable() {
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
            let serving = self.shared.serving();
            let is_whole = serving.is_some_and(|crew| {
                let number = crew.worker;
                let is_alive = self.workers().iter().any(|worker| {
                    let worker = worker.lock().unwrap();
                    worker.number == number && !worker.is_dead && worker.begun == [true; SESSIONS]
                });
                is_alive && crew.open_sessions() == SESSIONS + 1
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
            if let Some(crew) = self.shared.serving() {
                self.kill(crew.worker);
                while self
                    .shared
                    .serving()
                    .is_some_and(|now| now.worker == crew.worker)
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
        assert_eq!(self.shared.pool.depth(), 0);
        let serving = self.shared.serving().expect("a worker that serves");
        assert!(!serving.is_busy());
        let _answers: Vec<_> = (0..SESSIONS)
            .map(|_| encrypt_on(&self.shared, b"after", PATIENCE))
            .collect();
        for worker in self.workers() {
            let worker = worker.lock().unwrap();
            // A dead worker may have unread jobs.
            if worker.number == serving.worker {
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

/// The next step of a session.
enum Step {
    Nothing,
    Report(Event),
    Begin(Arc<Session>),
    Answer(Arc<Session>, Vec<Job>),
    End(Arc<Session>, u32, bool),
}

impl Worker {
    fn step(&mut self, at: usize) -> Step {
        let Some(crew) = &self.crew else {
            return Step::Nothing;
        };
        let session = Arc::clone(&crew.sessions[at]);
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
        use crate::hsm::events::NotOpened;
        match self.rejects {
            true => Event::NotOpened(self.number, NotOpened::because("no such token")),
            false => Event::Opened(self.number),
        }
    }

    /// Whether the front has closed the control channel.
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

fn answer(job: &Job) -> Answer {
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
        outcome: Outcome::Sealed(sealed(plaintext.expose())),
    }
}
