//! A writer on a faulty disk, its callers, and an operator who moves its files.

use std::collections::HashMap;
use std::future::Future as _;
use std::pin::pin;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::faulty_disk::{Faults, FaultyDisk};
use super::random::Random;
use crate::audit::recording::Recording;
use crate::audit::tests::{Seals, entry};
use crate::audit::writing::{Found, Message, Outbox, State, Writer, find};
use crate::audit::*;
use crate::metrics::Metrics;

/// The longest time that a child of another test may hold the lock.
const PATIENCE: Duration = Duration::from_secs(30);

/// More turns than these never pass until a disk that works is written.
const TURNS: usize = 4;

pub(super) struct World {
    pub directory: tempfile::TempDir,
    pub disk: Arc<FaultyDisk>,
    pub settings: AuditSettings,
    pub running: Option<Running>,
    runtime: Runtime,
    pub seals: Arc<Mutex<bool>>,
    /// Callers that wait, in the order of their entries.
    callers: Vec<(String, Recording)>,
    next_id: u64,
    pub next_name: u64,
    /// What callers were told.
    pub told: Arc<Mutex<Told>>,
    /// Entries for which nobody waits.
    pub noted: Vec<String>,
    /// Whether the trail says of all entries that have no line.
    pub is_count_exact: bool,
}

/// What the callers know.
#[derive(Default)]
pub(super) struct Told {
    /// Acknowledged, in this order.
    pub written: Vec<String>,
    /// Acknowledged, as their callers found out when they wanted to give up.
    pub found_written: Vec<String>,
    /// Entries that must not be in the trail, as they were replaced in time.
    pub replaced: Vec<String>,
    /// Entries replaced while their line was written: the line, if there is one, has a correction.
    pub late: HashMap<String, String>,
    /// Callers who got an error.
    pub refused: u64,
}

pub(super) struct Running {
    pub writer: Writer,
    outbox: Arc<Outbox>,
    messages: Receiver<Message>,
}

/// A sealer that works or not.
struct Switched(Arc<Mutex<bool>>);

impl Seal for Switched {
    fn seal(&self, head: Position) -> Sealing {
        Seals(*self.0.lock().unwrap()).seal(head)
    }
}

impl World {
    pub fn new(seed: u64, sync: SyncPolicy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = AuditSettings::at(directory.path().join("audit.jsonl"));
        std::fs::create_dir(directory.path().join("archive")).unwrap();
        settings.sync = sync;
        settings.queue = 6;
        settings.rotate.size = (!seed.is_multiple_of(3)).then_some(3000);
        settings.checkpoint.lines = 4;
        Self {
            directory,
            disk: Arc::new(FaultyDisk::new(seed)),
            settings,
            running: None,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap(),
            seals: Arc::new(Mutex::new(seed.is_multiple_of(2))),
            callers: Vec::new(),
            next_id: 0,
            next_name: 0,
            told: Arc::default(),
            noted: Vec::new(),
            is_count_exact: true,
        }
    }

    /// Finds the trail. Other tests start processes: a child holds the lock until it becomes another program. A lock that stays is an error.
    fn find(&self) -> Result<Found, AuditError> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match find(&self.settings, self.disk.clone()) {
                Err(AuditError::Locked(_)) if Instant::now() < give_up => std::thread::yield_now(),
                found => return found,
            }
        }
    }

    /// Starts a process; a disk that fails is repaired first, as a start may need it.
    pub fn start(&mut self) {
        self.disk.revive();
        let found = self.find().unwrap_or_else(|_| {
            self.disk.fail(Faults::default());
            self.find().expect("a start on a disk that works")
        });
        let (inbox, messages) = channel();
        let metrics = AuditMetrics::declare(&Metrics::default()).unwrap();
        let outbox = Arc::new(Outbox {
            inbox,
            room: Arc::new(Semaphore::new(self.settings.queue)),
            state: Arc::new(State::new(metrics)),
            on_failure: OnFailure::Refuse,
        });
        let sealer = Sealer {
            seal: Arc::new(Switched(Arc::clone(&self.seals))),
            runtime: self.runtime.handle().clone(),
        };
        let mut writer = Writer::new(&self.settings, found, Some(sealer), &outbox);
        writer.file.schedule.retry = std::time::Duration::ZERO;
        self.running = Some(Running {
            writer,
            outbox,
            messages,
        });
        self.turn();
    }

    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().unwrap()
    }

    pub fn record(&mut self, random: &mut Random) {
        for _ in 0..=random.below(4) {
            let id = self.new_id();
            let recording = Recording::new(&self.running().outbox, entry(&id));
            self.callers.push((id, recording));
        }
        self.poll();
        if random.percent(60) {
            self.turn();
        }
    }

    pub fn note(&mut self) {
        let id = self.new_id();
        self.running().outbox.note_or_lose(entry(&id));
        self.noted.push(id);
    }

    fn new_id(&mut self) -> String {
        self.next_id += 1;
        format!("e{}", self.next_id)
    }

    /// A caller gives up before the writer does anything more.
    pub fn give_up(&mut self, random: &mut Random) {
        if self.callers.is_empty() {
            return;
        }
        let (id, recording) = self.callers.remove(random.index(self.callers.len()));
        let instead = format!("{id} instead");
        let mut told = self.told.lock().unwrap();
        match recording.amend(entry(&instead)) {
            true => told.found_written.push(id),
            false => told.replaced.push(id),
        }
        drop(told);
        self.noted.push(instead);
    }

    /// A caller gives up while its line is on its way to the disk.
    pub fn give_up_during_sync(&mut self, random: &mut Random) {
        self.record(random);
        if self.callers.is_empty() {
            return;
        }
        let (id, recording) = self.callers.remove(random.index(self.callers.len()));
        let told = Arc::clone(&self.told);
        self.disk.during_sync(move || {
            let instead = format!("{id} instead");
            let is_written = recording.amend(entry(&instead));
            let mut told = told.lock().unwrap();
            match is_written {
                true => told.found_written.push(id),
                false => drop(told.late.insert(id, instead)),
            }
        });
        self.turn();
        if let Some(action) = self.disk.missed_sync() {
            action();
        }
    }

    /// Lets the writer deal with what there is, and the callers see it.
    pub fn turn(&mut self) {
        let Running {
            writer, messages, ..
        } = self.running.as_mut().unwrap();
        writer.turn(messages, std::time::Duration::ZERO);
        self.runtime.block_on(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
        self.poll();
    }

    fn poll(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut told = self.told.lock().unwrap();
        self.callers.retain_mut(|(id, recording)| {
            let polled = pin!(recording.written()).poll(&mut context);
            match polled {
                Poll::Pending => return true,
                Poll::Ready(Ok(())) => told.written.push(id.clone()),
                Poll::Ready(Err(_)) => told.refused += 1,
            }
            false
        });
    }

    /// The disk works from now on: then the trail must, too.
    pub fn heal(&mut self) {
        self.disk.fail(Faults::default());
        let id = self.new_id();
        let recording = Recording::new(&self.running().outbox, entry(&id));
        self.callers.push((id.clone(), recording));
        self.poll();
        for _ in 0..TURNS {
            self.turn();
        }
        let is_written = self.told.lock().unwrap().written.contains(&id);
        assert!(is_written, "the disk works, but {id} is not recorded");
    }

    pub fn hang_up(&mut self) {
        drop(self.running().outbox.inbox.send(Message::Reopen));
        self.turn();
    }

    /// Stops the process in order.
    pub fn stop(&mut self) {
        let Some(Running {
            writer,
            outbox,
            messages,
        }) = self.running.take()
        else {
            return;
        };
        drop(outbox.inbox.send(Message::Stop(None)));
        let runtime = &self.runtime;
        let stopping = std::thread::spawn(move || writer.run(&messages));
        while !stopping.is_finished() {
            runtime.block_on(tokio::task::yield_now());
        }
        stopping.join().unwrap();
        self.poll();
        self.callers.clear();
    }

    pub fn restart(&mut self) {
        // What is not counted in the trail by now is not counted in it at all.
        self.is_count_exact = false;
        self.stop();
        self.start();
    }

    /// The process is killed: at once, or in the middle of what it does next.
    pub fn kill(&mut self, random: &mut Random) {
        self.die(random);
        self.start();
    }

    fn die(&mut self, random: &mut Random) {
        if random.percent(70) {
            self.disk.kill_after(random.below(6));
            self.record(random);
            self.turn();
        }
        self.running = None;
        self.is_count_exact = false;
        // Nobody can be told anything any more.
        self.callers.clear();
    }

    pub fn power_failure(&mut self, random: &mut Random) {
        self.die(random);
        self.disk.revive();
        self.disk.power_failure(self.directory.path());
        self.start();
    }
}
