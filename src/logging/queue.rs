//! The queue of log lines for standard output. The reader of the output may stall (a full pipe, a stopped terminal, a slow disk). Then lines
//! wait in the queue; when the queue is full, further lines are lost and counted.
//!
//! # Invariants
//! - Logging never waits for the output: a line is queued or lost at once.
//! - The queue is bounded in bytes, not in lines: long lines cannot use up the memory.
//! - A line is written whole. If the output fails within a line, that line is ended before the next one begins.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::losses::Losses;
use crate::metrics::{Metrics, MetricsError};
use crate::sync::{End, essential_thread, poisoned};

/// The size of the queue, in bytes; the batch that is being written can have the same size. Enough for some seconds at the highest rate of KMS.
const CAPACITY: usize = 8 * 1024 * 1024;

/// The capacity that an empty buffer keeps, in bytes: memory is released after a stall.
const KEPT_CAPACITY: usize = 256 * 1024;

/// The pause between two writes, so that one system call writes many lines under load.
const BATCH_TIME: Duration = Duration::from_millis(5);

/// The pause before another attempt when the output is non-blocking and full. Another process can set that flag.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// The queue of lines.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    losses: Losses,
    /// True if the writer sleeps until a line is queued.
    is_idle: bool,
    is_closed: bool,
    has_ended: bool,
}

impl Queue {
    /// Creates the queue and starts the thread that writes its lines.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let queue_of_writer = Arc::clone(&queue);
        essential_thread("xks-log", move || {
            // Ends when the queue is closed.
            Writer::new(output).run(&queue_of_writer);
            queue_of_writer.state().has_ended = true;
            queue_of_writer.changed.notify_all();
            End::Requested
        })?;
        Ok(queue)
    }

    /// Declares the counter of lost lines. Earlier losses are included.
    ///
    /// # Errors
    /// [`MetricsError`] when its name is taken.
    pub(super) fn declare(&self, metrics: &Metrics) -> Result<(), MetricsError> {
        let counter = metrics.counter(
            "xks_log_lost_lines_total",
            "Log lines that were lost because standard output accepted no more data.",
            &[],
        )?;
        self.state().losses.count_in(&counter);
        Ok(())
    }

    /// Queues a line, given in parts, or counts it as lost.
    pub(super) fn push(&self, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut state = self.state();
        if state.is_closed || state.waiting.len() + length > CAPACITY {
            return state.losses.add(1);
        }
        for part in parts {
            state.waiting.extend_from_slice(part);
        }
        // Waking a thread is a system call, so it is skipped when the writer is awake.
        if std::mem::take(&mut state.is_idle) {
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Closes the queue and waits until queued lines are written, for at most this long. Returns whether they are written.
    pub(super) fn close(&self, patience: Duration) -> bool {
        let mut state = self.state();
        state.is_closed = true;
        self.changed.notify_all();
        let is_writing = |state: &mut State| !state.has_ended;
        let waited = self.changed.wait_timeout_while(state, patience, is_writing);
        let (state, _) = waited.unwrap_or_else(poisoned);
        state.has_ended
    }

    /// Waits for lines and swaps them with the empty `batch`. Returns false when the queue is closed and empty.
    fn take(&self, batch: &mut Vec<u8>) -> bool {
        let mut state = self.state();
        while state.waiting.is_empty() {
            if state.is_closed {
                return false;
            }
            state.is_idle = true;
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(poisoned);
        }
        state.is_idle = false;
        std::mem::swap(&mut state.waiting, batch);
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(poisoned)
    }
}

/// Writes queued lines to the output.
struct Writer<W> {
    output: W,
    /// True if the last write succeeded.
    flows: bool,
    /// True if the output failed within a line.
    is_torn: bool,
}

impl<W: Write> Writer<W> {
    fn new(output: W) -> Self {
        Self {
            output,
            flows: true,
            is_torn: false,
        }
    }

    fn run(&mut self, queue: &Queue) {
        let mut batch = Vec::new();
        while queue.take(&mut batch) {
            // The output works again. The batch holds the lines from before the gap, so the report follows them.
            if self.flows {
                report_losses(queue);
            }
            self.write(&batch, queue);
            batch.clear();
            batch.shrink_to(KEPT_CAPACITY);
            thread::sleep(BATCH_TIME);
        }
    }

    fn write(&mut self, batch: &[u8], queue: &Queue) {
        let mut left = batch;
        let outcome = self.end_torn_line().and_then(|()| self.drain(&mut left));
        self.flows = outcome.is_ok();
        if !self.flows {
            let written = batch.len() - left.len();
            let last_written = batch.get(..written).and_then(<[u8]>::last);
            self.is_torn |= last_written.is_some_and(|byte| *byte != b'\n');
            let lines = left.iter().filter(|byte| **byte == b'\n').count();
            let lost = u64::try_from(lines).unwrap_or(0);
            queue.state().losses.add(lost);
        }
    }

    fn end_torn_line(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.drain(&mut b"\n".as_slice())?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Writes `left`, and leaves in it what could not be written.
    fn drain(&mut self, left: &mut &[u8]) -> io::Result<()> {
        while !left.is_empty() {
            match self.output.write(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => *left = left.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_PAUSE),
                Err(error) => return Err(error),
            }
        }
        self.output.flush()
    }
}

/// Logs lost lines, at level error: no configured level hides this.
fn report_losses(queue: &Queue) {
    let lines = queue.state().losses.take_unreported();
    if lines > 0 {
        tracing::error!(lines, "log lines lost; standard output was blocked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Instant;

    /// An output that waits for a command before each write: accept up to this number of bytes, or fail.
    struct Controlled {
        commands: Receiver<Option<usize>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Controlled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let Ok(Some(length)) = self.commands.recv() else {
                return Err(ErrorKind::StorageFull.into());
            };
            let length = length.min(bytes.len());
            self.written.lock().unwrap().extend(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Commands = Sender<Option<usize>>;

    fn controlled() -> (Arc<Queue>, Commands, Arc<Mutex<Vec<u8>>>) {
        let (command, commands) = channel();
        let written = Arc::default();
        let output = Controlled {
            commands,
            written: Arc::clone(&written),
        };
        (Queue::start(output).unwrap(), command, written)
    }

    /// Declares the counter of lost lines.
    fn counting(queue: &Queue) -> Metrics {
        let metrics = Metrics::default();
        queue.declare(&metrics).unwrap();
        metrics
    }

    fn lost(metrics: &Metrics) -> u64 {
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        let (_, count) = text.rsplit_once(' ').unwrap();
        count.trim().parse().unwrap()
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_stalled_output_loses_lines_but_blocks_nobody_and_bounds_memory() {
        let (queue, command, written) = controlled();
        let counted = counting(&queue);
        let line = [b'x'; 64 * 1024];
        for _ in 0..1_000 {
            queue.push(&[&line, b"\n"]);
        }
        assert!(queue.state().waiting.len() <= CAPACITY);
        let lost_of_1000 = lost(&counted);
        assert!(
            (1_000 - 2 * 127..=1_000 - 126).contains(&lost_of_1000),
            "{lost_of_1000}"
        );
        for _ in 0..10 {
            command.send(Some(usize::MAX)).unwrap();
        }
        queue.close(LONG);
        let kept = u64::try_from(written.lock().unwrap().len() / (line.len() + 1)).unwrap();
        assert_eq!(kept + lost_of_1000, 1_000);
        assert_eq!(lost(&counted), lost_of_1000);
    }

    #[test]
    fn queued_lines_are_written_before_the_end() {
        let (queue, command, written) = controlled();
        let counted = counting(&queue);
        queue.push(&[b"<6>", b"one\n"]);
        queue.push(&[b"two\n"]);
        for _ in 0..10 {
            command.send(Some(3)).unwrap();
        }
        queue.close(LONG);
        assert_eq!(*written.lock().unwrap(), b"<6>one\ntwo\n");
        queue.push(&[b"late\n"]);
        assert_eq!(lost(&counted), 1);
    }

    #[test]
    fn a_stalled_output_does_not_keep_the_process_running() {
        let (queue, _command, _) = controlled();
        queue.push(&[b"one\n"]);
        let start = Instant::now();
        queue.close(Duration::from_millis(20));
        assert!(start.elapsed() < LONG);
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let (queue, command, written) = controlled();
        let counted = counting(&queue);
        queue.push(&[b"a line that breaks off\n"]);
        command.send(Some(6)).unwrap();
        command.send(None).unwrap();
        while lost(&counted) == 0 {
            thread::yield_now();
        }
        queue.push(&[b"next\n"]);
        command.send(Some(usize::MAX)).unwrap();
        command.send(Some(usize::MAX)).unwrap();
        queue.close(LONG);
        assert_eq!(*written.lock().unwrap(), b"a line\nnext\n");
        assert_eq!(lost(&counted), 1);
    }
}
