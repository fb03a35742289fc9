//! The state of a run: a writer on a faulty disk, its callers, and its files.

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
use crate::audit::Recording;
use crate::audit::tests::{Seals, entry};
use crate::audit::writing::{FoundTrail, Message, Queue, Writer, WriterState, find};
use crate::audit::*;
use crate::metrics::Metrics;

/// The maximum time that a child process of another test may hold the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum number of writer runs until an entry is written to a disk that works.
const MAX_RUNS: usize = 4;

pub(super) struct World {
    pub directory: tempfile::TempDir,
    pub disk: Arc<FaultyDisk>,
    pub settings: AuditSettings,
    pub running: Option<Running>,
    runtime: Runtime,
    pub seals: Arc<Mutex<bool>>,
    /// Waiting callers, in the order of their entries.
    callers: Vec<(String, Recording)>,
    next_id: u64,
    pub next_name: u64,
    /// The results that callers received.
    pub results: Arc<Mutex<CallerResults>>,
    /// Entries for which no caller waits.
    pub noted: Vec<String>,
    /// True if the audit trail must contain the exact number of entries without a line.
    pub is_count_exact: bool,
}

/// The results that callers received.
#[derive(Default)]
pub(super) struct CallerResults {
    /// Acknowledged entries, in order.
    pub written: Vec<String>,
    /// Entries that were already acknowledged when their callers wanted to replace them.
    pub found_written: Vec<String>,
    /// Entries that must not be in the audit trail, because they were replaced in time.
    pub replaced: Vec<String>,
    /// Entries that were replaced while their line was written. If the line exists, it has a correction.
    pub late: HashMap<String, String>,
    /// The number of callers that received an error.
    pub refused: u64,
}

pub(super) struct Running {
    pub writer: Writer,
    queue: Arc<Queue>,
    messages: Receiver<Message>,
}

/// A sealer that works or fails, as a test sets it.
struct ControlledSealer(Arc<Mutex<bool>>);

impl Sealer for ControlledSealer {
    fn seal(&self, head: Position) -> SealFuture {
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
            results: Arc::default(),
            noted: Vec::new(),
            is_count_exact: true,
        }
    }

    /// Finds the audit trail. Other tests start processes, and a child process holds the lock until it calls `exec`. A lock that remains is
    /// an error.
    fn find(&self) -> Result<FoundTrail, AuditError> {
        let deadline = Instant::now() + LOCK_TIMEOUT;
        loop {
            match find(&self.settings, self.disk.clone()) {
                Err(AuditError::Locked(_)) if Instant::now() < deadline => std::thread::yield_now(),
                found => return found,
            }
        }
    }

    /// Starts a process. If the disk fails, it is repaired, because a start may need it.
    pub fn start(&mut self) {
        self.disk.revive();
        let found = self.find().unwrap_or_else(|_| {
            self.disk.fail(Faults::default());
            self.find().expect("a start on a disk that works")
        });
        let (sender, messages) = channel();
        let metrics = AuditMetrics::declare(&Metrics::default()).unwrap();
        let queue = Arc::new(Queue {
            sender,
            permits: Arc::new(Semaphore::new(self.settings.queue)),
            state: Arc::new(WriterState::new(metrics)),
            on_failure: OnFailure::Refuse,
        });
        let sealer = SealerHandle {
            sealer: Arc::new(ControlledSealer(Arc::clone(&self.seals))),
            runtime: self.runtime.handle().clone(),
        };
        let mut writer = Writer::new(&self.settings, found, Some(sealer), &queue);
        writer.file.schedule.retry = std::time::Duration::ZERO;
        self.running = Some(Running {
            writer,
            queue,
            messages,
        });
        self.run_writer();
    }

    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().unwrap()
    }

    pub fn record(&mut self, random: &mut Random) {
        for _ in 0..=random.below(4) {
            let id = self.new_id();
            let recording = Recording::new(&self.running().queue, entry(&id));
            self.callers.push((id, recording));
        }
        self.poll();
        if random.percent(60) {
            self.run_writer();
        }
    }

    pub fn record_without_waiting(&mut self) {
        let id = self.new_id();
        self.running().queue.send_or_count_lost(entry(&id));
        self.noted.push(id);
    }

    fn new_id(&mut self) -> String {
        self.next_id += 1;
        format!("e{}", self.next_id)
    }

    /// A caller replaces its entry before the writer runs again.
    pub fn replace_entry(&mut self, random: &mut Random) {
        if self.callers.is_empty() {
            return;
        }
        let (id, recording) = self.callers.remove(random.index(self.callers.len()));
        let instead = format!("{id} instead");
        let mut results = self.results.lock().unwrap();
        match recording.amend(entry(&instead)) {
            true => results.found_written.push(id),
            false => results.replaced.push(id),
        }
        drop(results);
        self.noted.push(instead);
    }

    /// A caller replaces its entry while its line is written to the disk.
    pub fn replace_entry_during_sync(&mut self, random: &mut Random) {
        self.record(random);
        if self.callers.is_empty() {
            return;
        }
        let (id, recording) = self.callers.remove(random.index(self.callers.len()));
        let results = Arc::clone(&self.results);
        self.disk.during_sync(move || {
            let instead = format!("{id} instead");
            let is_written = recording.amend(entry(&instead));
            let mut results = results.lock().unwrap();
            match is_written {
                true => results.found_written.push(id),
                false => drop(results.late.insert(id, instead)),
            }
        });
        self.run_writer();
        if let Some(action) = self.disk.missed_sync() {
            action();
        }
    }

    /// Runs the writer once, and then the callers.
    pub fn run_writer(&mut self) {
        let Running {
            writer, messages, ..
        } = self.running.as_mut().unwrap();
        writer.run_once(messages, std::time::Duration::ZERO);
        self.runtime.block_on(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
        self.poll();
    }

    fn poll(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut results = self.results.lock().unwrap();
        self.callers.retain_mut(|(id, recording)| {
            let polled = pin!(recording.written()).poll(&mut context);
            match polled {
                Poll::Pending => return true,
                Poll::Ready(Ok(())) => results.written.push(id.clone()),
                Poll::Ready(Err(_)) => results.refused += 1,
            }
            false
        });
    }

    /// Repairs the disk, and checks that the audit trail recovers.
    pub fn repair_disk(&mut self) {
        self.disk.fail(Faults::default());
        let id = self.new_id();
        let recording = Recording::new(&self.running().queue, entry(&id));
        self.callers.push((id.clone(), recording));
        self.poll();
        for _ in 0..MAX_RUNS {
            self.run_writer();
        }
        let is_written = self.results.lock().unwrap().written.contains(&id);
        assert!(is_written, "the disk works, but {id} is not recorded");
    }

    pub fn send_sighup(&mut self) {
        drop(self.running().queue.sender.send(Message::Reopen));
        self.run_writer();
    }

    /// Stops the process in order.
    pub fn stop(&mut self) {
        let Some(Running {
            writer,
            queue,
            messages,
        }) = self.running.take()
        else {
            return;
        };
        drop(queue.sender.send(Message::Stop(None)));
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
        // The number of entries without a line is lost if no line contains it yet.
        self.is_count_exact = false;
        self.stop();
        self.start();
    }

    /// Kills the process: immediately, or during its next calls.
    pub fn kill(&mut self, random: &mut Random) {
        self.die(random);
        self.start();
    }

    fn die(&mut self, random: &mut Random) {
        if random.percent(70) {
            self.disk.kill_after(random.below(6));
            self.record(random);
            self.run_writer();
        }
        self.running = None;
        self.is_count_exact = false;
        // The callers end with the process.
        self.callers.clear();
    }

    pub fn power_failure(&mut self, random: &mut Random) {
        self.die(random);
        self.disk.revive();
        self.disk.power_failure(self.directory.path());
        self.start();
    }
}
