//! Events on standard output, one per line: JSON objects, or text for people.
//!
//! # Invariants
//! - An event holds names, times and outcomes, and never a secret, a plaintext or a ciphertext.
//! - Emitting an event never blocks. If the reader is too slow, events are dropped, and their number is reported.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::sync::{poisoned, thread};

/// The maximum number of lines that wait to be written.
const WAITING: usize = 16_384;

/// The time limit for writing the remaining lines at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The queue of events.
pub(super) struct Events {
    json: bool,
    /// Disconnected when everything is written.
    written: Mutex<Receiver<()>>,
    sender: Mutex<Option<SyncSender<String>>>,
    dropped: AtomicU64,
}

impl Events {
    /// Starts the thread that writes events to standard output.
    pub(super) fn new(json: bool) -> Self {
        let (sender, lines) = sync_channel(WAITING);
        let (finished, written) = sync_channel(0);
        // Without a thread there are no events, but KMS works.
        drop(thread("events", move || {
            write(&lines);
            drop(finished);
        }));
        Self {
            json,
            written: Mutex::new(written),
            sender: Mutex::new(Some(sender)),
            dropped: AtomicU64::new(0),
        }
    }

    /// Returns whether events are JSON.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Emits an event with a name and members, or its text if events are not JSON.
    pub(super) fn emit(&self, event: &str, members: Value, text: impl FnOnce() -> String) {
        let line = match self.json {
            true => line(event, members),
            false => text(),
        };
        self.emit_line(line);
    }

    /// Emits a complete line.
    pub(super) fn emit_line(&self, line: String) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 && !self.try_send(self.loss(dropped)) {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        if !self.try_send(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn loss(&self, dropped: u64) -> String {
        match self.json {
            true => line("events_dropped", json!({ "count": dropped })),
            false => format!("{dropped} events were dropped because the reader is too slow"),
        }
    }

    fn try_send(&self, line: String) -> bool {
        let sender = self.sender.lock().unwrap_or_else(poisoned);
        sender
            .as_ref()
            .is_some_and(|sender| sender.try_send(line).is_ok())
    }

    /// Waits until all lines are written, for at most [`LAST_WORDS`].
    pub(super) fn finish(&self) {
        let sender = self.sender.lock().unwrap_or_else(poisoned).take();
        drop(sender);
        let written = self.written.lock().unwrap_or_else(poisoned);
        // Either the writer has ended, or the reader is too slow.
        written.recv_timeout(LAST_WORDS).unwrap_or_default();
    }
}

/// Returns the current time in the format of RFC 3339.
pub(super) fn timestamp() -> String {
    OffsetDateTime::now_utc()
        .format(&Rfc3339)
        .unwrap_or_default()
}

fn line(event: &str, members: Value) -> String {
    let mut object = json!({ "event": event, "time": timestamp() });
    if let (Some(object), Value::Object(members)) = (object.as_object_mut(), members) {
        object.extend(members);
    }
    object.to_string()
}

fn write(lines: &Receiver<String>) {
    let mut out = std::io::stdout().lock();
    while let Ok(first) = lines.recv() {
        let mut text = first;
        text.push('\n');
        // Write waiting lines together.
        while text.len() < 1 << 16 {
            let Ok(next) = lines.try_recv() else { break };
            text.push_str(&next);
            text.push('\n');
        }
        if out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_a_name_a_time_and_members() {
        let line: Value = serde_json::from_str(&line("store_state", json!({ "a": 1 }))).unwrap();
        assert_eq!(
            (&line["event"], &line["a"]),
            (&json!("store_state"), &json!(1))
        );
        let time = line["time"].as_str().unwrap();
        assert!(OffsetDateTime::parse(time, &Rfc3339).is_ok(), "{time}");
    }

    #[test]
    fn events_beyond_the_queue_are_dropped_and_counted() {
        let (sender, lines) = sync_channel(2);
        let (finished, written) = sync_channel(0);
        let events = Events {
            json: true,
            written: Mutex::new(written),
            sender: Mutex::new(Some(sender)),
            dropped: AtomicU64::new(0),
        };
        for number in 0..5 {
            events.emit_line(number.to_string());
        }
        let taken: Vec<_> = lines.try_iter().collect();
        assert_eq!(taken, ["0", "1"]);
        events.emit_line("5".to_owned());
        let taken: Vec<_> = lines.try_iter().collect();
        assert!(
            taken[0].contains("events_dropped") && taken[0].contains("3"),
            "{taken:?}"
        );
        assert_eq!(taken[1], "5");
        drop(finished);
        events.finish();
        events.emit_line("after the end".to_owned());
        assert_eq!(lines.try_iter().count(), 0);
    }
}
