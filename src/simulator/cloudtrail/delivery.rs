//! Writes the records of a trail at intervals, in one file per account and Region, and all remaining records at the end.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::Value;
use time::OffsetDateTime;

use super::entry::Record;
use super::faults::{Fate, When};
use super::files::{write_digest, write_records};
use super::settings::TrailSettings;

/// The most records that wait for a delivery; one more, and they are written at once.
const MOST_WAITING: usize = 10_000;

/// From one digest to the next.
const DIGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// By account and Region.
type ByPlace<T> = BTreeMap<(String, String), Vec<T>>;

/// The records that are not written yet.
pub(super) struct Delivery {
    settings: TrailSettings,
    fate: Fate,
    next: Vec<Record>,
    after_next: Vec<Record>,
    late: Vec<(Instant, Record)>,
    due: Instant,
    /// Files that no digest has named yet.
    undigested: ByPlace<Value>,
    digest_start: (Instant, OffsetDateTime),
}

impl Delivery {
    /// Nothing waits yet.
    pub(super) fn new(settings: TrailSettings) -> Self {
        let now = Instant::now();
        Self {
            fate: Fate::new(settings.faults),
            next: Vec::new(),
            after_next: Vec::new(),
            late: Vec::new(),
            due: now + settings.interval,
            undigested: ByPlace::new(),
            digest_start: (now, OffsetDateTime::now_utc()),
            settings,
        }
    }

    /// Delivers until there are no more records to come, and then all that is left.
    pub(super) fn run(&mut self, records: &Receiver<Record>) {
        loop {
            let now = Instant::now();
            match records.recv_timeout(self.due.saturating_duration_since(now)) {
                Ok(record) => self.take(record),
                Err(RecvTimeoutError::Timeout) => self.deliver(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.next.len() >= MOST_WAITING || Instant::now() >= self.due {
                self.deliver();
            }
        }
        self.due = Instant::now();
        let late = std::mem::take(&mut self.late).into_iter();
        let late = late.map(|(_, record)| record).collect::<Vec<_>>();
        self.deliver();
        self.next.extend(late);
        self.deliver();
        self.digest();
    }

    fn take(&mut self, record: Record) {
        for (when, record) in self.fate.of(record, Instant::now()) {
            match when {
                When::Next => self.next.push(record),
                When::AfterNext => self.after_next.push(record),
                When::At(time) => self.late.push((time, record)),
            }
        }
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        self.due = now + self.settings.interval;
        let (late, not_yet) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(time, _)| *time <= now);
        self.late = not_yet;
        let mut records = std::mem::take(&mut self.next);
        records.extend(Vec::into_iter(late).map(|(_, record)| record));
        self.next = std::mem::take(&mut self.after_next);
        let mut by_place = ByPlace::new();
        for record in records {
            let place = (record.account.clone(), record.region.clone());
            by_place.entry(place).or_default().push(record);
        }
        for ((account, region), records) in by_place {
            match write_records(&self.settings.directory, &account, &region, &records) {
                Ok(file) => {
                    let place = (file.account, file.region);
                    self.undigested.entry(place).or_default().push(file.entry);
                }
                Err(error) => {
                    report(&error);
                    // They are tried again with the next delivery.
                    self.next.extend(records);
                }
            }
        }
        if self.digest_start.0.elapsed() >= DIGEST_INTERVAL {
            self.digest();
        }
    }

    fn digest(&mut self) {
        let (_, start) = self.digest_start;
        for ((account, region), files) in std::mem::take(&mut self.undigested) {
            let directory = &self.settings.directory;
            if let Err(error) = write_digest(directory, &account, &region, start, &files) {
                report(&error);
            }
        }
        self.digest_start = (Instant::now(), OffsetDateTime::now_utc());
    }
}

/// The events are of another thread; standard error is for what an operator must see.
fn report(error: &io::Error) {
    use std::io::Write as _;
    drop(writeln!(
        io::stderr(),
        "kms-simulator: CloudTrail's files cannot be written: {error}"
    ));
}
