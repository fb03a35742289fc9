//! The lines of the log on their way to standard output. Whoever reads there may stall (a full pipe, a stopped terminal, a slow disk): then
//! lines wait here, and when there is no more room they are lost and counted.
//!
//! # Invariants
//! - Whoever logs never waits for whoever reads: a line is taken or lost at once.
//! - The room is bounded in bytes, not in lines: the longest lines cannot use up the memory.
//! - A line is written whole or, where the output breaks off within it, ended before the next begins.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::losses::Losses;
use crate::metrics::{Metrics, MetricsError};
use crate::sync::{End, essential_thread, poisoned};

/// What may wait, in bytes; as much again may be in the hands of the writer. Some seconds of lines at KMS's highest rate.
const ROOM: usize = 8 * 1024 * 1024;

/// What a buffer keeps when it is empty, in bytes: a stall is no reason to be big for ever.
const KEPT: usize = 256 * 1024;

/// How long lines gather between two writes. Under load one call then writes many; nobody who reads a log sees the difference.
const GATHERING: Duration = Duration::from_millis(5);

/// How long the writer waits where the output would block it (somebody else has set it so).
const BLOCKED: Duration = Duration::from_millis(10);

/// Lines that wait to be written.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    losses: Losses,
    /// The writer sleeps until there is something.
    is_idle: bool,
    is_closed: bool,
    has_ended: bool,
}

impl Queue {
    /// A queue, and the thread that writes what comes into it.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let of_writer = Arc::clone(&queue);
        essential_thread("xks-log", move || {
            // Ends when the queue is closed.
            Writer::new(output).run(&of_writer);
            of_writer.state().has_ended = true;
            of_writer.changed.notify_all();
            End::Requested
        })?;
        Ok(queue)
    }

    /// Declares the counter of what was lost; what was lost before counts as well.
    ///
    /// # Errors
    /// [`MetricsError`] when its name is taken.
    pub(super) fn declare(&self, metrics: &Metrics) -> Result<(), MetricsError> {
        let counter = metrics.counter(
            "xks_log_lost_lines_total",
            "Lines of the log that were lost because standard output took no more.",
            &[],
        )?;
        self.state().losses.count_in(&counter);
        Ok(())
    }

    /// Takes a line, given in parts, or loses it.
    pub(super) fn push(&self, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut state = self.state();
        if state.is_closed || state.waiting.len() + length > ROOM {
            return state.losses.add(1);
        }
        for part in parts {
            state.waiting.extend_from_slice(part);
        }
        // Waking somebody is a system call: not for a writer that is awake.
        if std::mem::take(&mut state.is_idle) {
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Takes no more lines, and waits until those that wait are written; at most this long. Returns whether they are.
    pub(super) fn close(&self, patience: Duration) -> bool {
        let mut state = self.state();
        state.is_closed = true;
        self.changed.notify_all();
        let is_writing = |state: &mut State| !state.has_ended;
        let waited = self.changed.wait_timeout_while(state, patience, is_writing);
        let (state, _) = waited.unwrap_or_else(poisoned);
        state.has_ended
    }

    /// Exchanges all that waits for the empty `batch`; waits until there is something. False when nothing comes any more.
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

/// Writes what waits.
struct Writer<W> {
    output: W,
    /// The last write went well.
    flows: bool,
    /// The output broke off within a line.
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
            // Here there is room again, and what comes before this line was before the gap.
            if self.flows {
                tell_of_loss(queue);
            }
            self.write(&batch, queue);
            batch.clear();
            batch.shrink_to(KEPT);
            thread::sleep(GATHERING);
        }
    }

    fn write(&mut self, batch: &[u8], queue: &Queue) {
        let mut left = batch;
        let outcome = self.end_torn_line().and_then(|()| self.drain(&mut left));
        self.flows = outcome.is_ok();
        if !self.flows {
            let written = batch.len() - left.len();
            let broke_off = batch.get(..written).and_then(<[u8]>::last);
            self.is_torn |= broke_off.is_some_and(|byte| *byte != b'\n');
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

    /// Writes, and leaves what could not be written.
    fn drain(&mut self, left: &mut &[u8]) -> io::Result<()> {
        while !left.is_empty() {
            match self.output.write(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => *left = left.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(BLOCKED),
                Err(error) => return Err(error),
            }
        }
        self.output.flush()
    }
}

/// At level error, so that no level hides that lines are missing.
fn tell_of_loss(queue: &Queue) {
    let lines = queue.state().losses.take_untold();
    if lines > 0 {
        tracing::error!(
            lines,
            "the log has a gap: lines were lost because standard output took no more"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Instant;

    /// Waits for a word before each write; then does as it says: so many bytes, or a failure.
    struct Steered {
        words: Receiver<Option<usize>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Steered {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let Ok(Some(length)) = self.words.recv() else {
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

    type Words = Sender<Option<usize>>;

    fn steered() -> (Arc<Queue>, Words, Arc<Mutex<Vec<u8>>>) {
        let (say, words) = channel();
        let written = Arc::default();
        let output = Steered {
            words,
            written: Arc::clone(&written),
        };
        (Queue::start(output).unwrap(), say, written)
    }

    /// Counts from now on.
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
    fn a_stalled_output_costs_lines_and_no_time_and_no_more_memory() {
        let (queue, say, written) = steered();
        let counted = counting(&queue);
        let line = [b'x'; 64 * 1024];
        for _ in 0..1_000 {
            queue.push(&[&line, b"\n"]);
        }
        assert!(queue.state().waiting.len() <= ROOM);
        let lost_of_1000 = lost(&counted);
        assert!(
            (1_000 - 2 * 127..=1_000 - 126).contains(&lost_of_1000),
            "{lost_of_1000}"
        );
        for _ in 0..10 {
            say.send(Some(usize::MAX)).unwrap();
        }
        queue.close(LONG);
        let kept = u64::try_from(written.lock().unwrap().len() / (line.len() + 1)).unwrap();
        assert_eq!(kept + lost_of_1000, 1_000);
        assert_eq!(lost(&counted), lost_of_1000);
    }

    #[test]
    fn what_waits_is_written_before_the_end() {
        let (queue, say, written) = steered();
        let counted = counting(&queue);
        queue.push(&[b"<6>", b"one\n"]);
        queue.push(&[b"two\n"]);
        for _ in 0..10 {
            say.send(Some(3)).unwrap();
        }
        queue.close(LONG);
        assert_eq!(*written.lock().unwrap(), b"<6>one\ntwo\n");
        queue.push(&[b"late\n"]);
        assert_eq!(lost(&counted), 1);
    }

    #[test]
    fn an_output_that_stays_stalled_does_not_keep_the_process() {
        let (queue, _say, _) = steered();
        queue.push(&[b"one\n"]);
        let start = Instant::now();
        queue.close(Duration::from_millis(20));
        assert!(start.elapsed() < LONG);
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let (queue, say, written) = steered();
        let counted = counting(&queue);
        queue.push(&[b"a line that breaks off\n"]);
        say.send(Some(6)).unwrap();
        say.send(None).unwrap();
        while lost(&counted) == 0 {
            thread::yield_now();
        }
        queue.push(&[b"next\n"]);
        say.send(Some(usize::MAX)).unwrap();
        say.send(Some(usize::MAX)).unwrap();
        queue.close(LONG);
        assert_eq!(*written.lock().unwrap(), b"a line\nnext\n");
        assert_eq!(lost(&counted), 1);
    }
}
