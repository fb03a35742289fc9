//! Writes CloudTrail records at intervals, one file per account and Region, and all remaining records at the end.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::Value;
use time::OffsetDateTime;

use super::entry::TrailRecord;
use super::faults::{DeliveryFaults, DeliveryTime};
use super::files::{write_digest, write_records};
use super::settings::TrailSettings;

/// The number of waiting records at which they are written at once.
const MOST_WAITING: usize = 10_000;

/// The interval between digests.
const DIGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// Values by account and Region.
type ByPlace<T> = BTreeMap<(String, String), Vec<T>>;

/// Records that are not written yet.
pub(super) struct Delivery {
    settings: TrailSettings,
    faults: DeliveryFaults,
    next: Vec<TrailRecord>,
    after_next: Vec<TrailRecord>,
    late: Vec<(Instant, TrailRecord)>,
    due: Instant,
    /// Files that are not in a digest yet.
    undigested: ByPlace<Value>,
    digest_start: (Instant, OffsetDateTime),
}

impl Delivery {
    /// Returns a delivery without records.
    pub(super) fn new(settings: TrailSettings) -> Self {
        let now = Instant::now();
        Self {
            faults: DeliveryFaults::new(settings.faults),
            next: Vec::new(),
            after_next: Vec::new(),
            late: Vec::new(),
            due: now + settings.interval,
            undigested: ByPlace::new(),
            digest_start: (now, OffsetDateTime::now_utc()),
            settings,
        }
    }

    /// Delivers records until the sender ends, and then all remaining records.
    pub(super) fn run(&mut self, records: &Receiver<TrailRecord>) {
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

    fn take(&mut self, record: TrailRecord) {
        for (when, record) in self.faults.of(record, Instant::now()) {
            match when {
                DeliveryTime::Next => self.next.push(record),
                DeliveryTime::AfterNext => self.after_next.push(record),
                DeliveryTime::At(time) => self.late.push((time, record)),
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
                    // The next delivery writes them again.
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

/// Reports an error on standard error, where the operator sees it.
fn report(error: &io::Error) {
    use std::io::Write as _;
    drop(writeln!(
        io::stderr(),
        "kms-simulator: cannot write CloudTrail files; retrying: {error}"
    ));
}
