//! What happens, told on standard output: a JSON object a line, or a line for people.
//!
//! # Invariants
//! - An event holds names, times and outcomes, and never a secret, a plaintext or a ciphertext.
//! - Whoever tells an event does not wait for who reads it: when nobody reads, events are dropped, and their number is told.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::sync::{poisoned, thread};

/// As many lines wait to be written.
const WAITING: usize = 16_384;

/// How long the end waits for who reads.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where events go.
pub(super) struct Events {
    json: bool,
    /// Has an end when everything is written.
    written: Mutex<Receiver<()>>,
    sender: Mutex<Option<SyncSender<String>>>,
    dropped: AtomicU64,
}

impl Events {
    /// To standard output.
    pub(super) fn new(json: bool) -> Self {
        let (sender, lines) = sync_channel(WAITING);
        let (finished, written) = sync_channel(0);
        // Without a thread there are no events; the calls are made all the same.
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

    /// Whether events are JSON.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Tells an event: its name, its members, and how people read it.
    pub(super) fn tell(&self, event: &str, members: Value, text: impl FnOnce() -> String) {
        let line = match self.json {
            true => line(event, members),
            false => text(),
        };
        self.send(line);
    }

    /// Tells a line that is ready.
    pub(super) fn send(&self, line: String) {
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
            false => format!("{dropped} events were dropped: nobody reads them fast enough"),
        }
    }

    fn try_send(&self, line: String) -> bool {
        let sender = self.sender.lock().unwrap_or_else(poisoned);
        sender
            .as_ref()
            .is_some_and(|sender| sender.try_send(line).is_ok())
    }

    /// Writes what is still to be written, as far as somebody reads it.
    pub(super) fn finish(&self) {
        let sender = self.sender.lock().unwrap_or_else(poisoned).take();
        drop(sender);
        let written = self.written.lock().unwrap_or_else(poisoned);
        // Either the writer has gone, or nobody reads.
        written.recv_timeout(LAST_WORDS).unwrap_or_default();
    }
}

/// The present, in RFC 3339's form.
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
        // What has gathered meanwhile goes with it.
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
    fn what_nobody_takes_is_dropped_and_counted() {
        let (sender, lines) = sync_channel(2);
        let (finished, written) = sync_channel(0);
        let events = Events {
            json: true,
            written: Mutex::new(written),
            sender: Mutex::new(Some(sender)),
            dropped: AtomicU64::new(0),
        };
        for number in 0..5 {
            events.send(number.to_string());
        }
        let taken: Vec<_> = lines.try_iter().collect();
        assert_eq!(taken, ["0", "1"]);
        events.send("5".to_owned());
        let taken: Vec<_> = lines.try_iter().collect();
        assert!(
            taken[0].contains("events_dropped") && taken[0].contains("3"),
            "{taken:?}"
        );
        assert_eq!(taken[1], "5");
        drop(finished);
        events.finish();
        events.send("after the end".to_owned());
        assert_eq!(lines.try_iter().count(), 0);
    }
}
