//! CloudTrail, as far as it records calls of KMS: files in the layout of an S3 bucket, with records as AWS documents them, and with
//! records that are late, lost or there twice, if that is wanted.
//!
//! # Invariants
//! - A record holds names, ids and encryption contexts, and never a plaintext, a ciphertext, a secret or a grant token: the members of
//!   requests and answers that it may hold are listed.
//! - A file is whole when it has its name.

mod delivery;
mod faults;
mod files;
mod identity;
mod parameters;
mod record;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::time::Duration;

use thiserror::Error;

use crate::sync::{poisoned, thread};
use delivery::Delivery;
pub(super) use record::{Event, Touched};

/// How a trail is written.
#[derive(Clone, Debug)]
pub struct TrailSettings {
    /// The root of the bucket.
    pub directory: PathBuf,
    /// From one delivery to the next.
    pub interval: Duration,
    /// Faults of the delivery.
    pub faults: TrailFaults,
}

/// Faults of a delivery; each is of every so-many-th record, none without a number.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrailFaults {
    /// Records that are never delivered.
    pub lost: Option<u64>,
    /// Records that are delivered twice, with the same event id, the second time with the next delivery.
    pub doubled: Option<u64>,
    /// Records that are delivered late.
    pub late: Option<u64>,
    /// By how much.
    pub late_by: Duration,
}

/// The reason why a trail cannot be written.
#[derive(Debug, Error)]
pub enum TrailError {
    /// The directory cannot be made.
    #[error("{0}: {1}")]
    Directory(PathBuf, std::io::Error),
    /// Nothing can write it.
    #[error("the trail has no thread: {0}")]
    Thread(std::io::Error),
}

/// A trail that is being written.
pub(super) struct Trail {
    records: Mutex<Option<Sender<record::Record>>>,
    /// Ends when everything is written.
    written: Mutex<Receiver<()>>,
}

/// How long the end waits for the last delivery.
const LAST_DELIVERY: Duration = Duration::from_secs(30);

impl Trail {
    /// Begins to write.
    pub(super) fn start(settings: TrailSettings) -> Result<Self, TrailError> {
        let directory = settings.directory.clone();
        std::fs::create_dir_all(&directory)
            .map_err(|error| TrailError::Directory(directory, error))?;
        let (sender, records) = channel();
        let (finished, written) = sync_channel(0);
        let mut delivery = Delivery::new(settings);
        let writer = thread("cloudtrail", move || {
            delivery.run(&records);
            drop(finished);
        });
        writer.map(drop).map_err(TrailError::Thread)?;
        Ok(Self {
            records: Mutex::new(Some(sender)),
            written: Mutex::new(written),
        })
    }

    /// Adds an event to what is delivered next.
    pub(super) fn add(&self, event: Event<'_>) {
        let records = self.records.lock().unwrap_or_else(poisoned);
        if let Some(records) = records.as_ref() {
            // The writer lives as long as the sender.
            drop(records.send(event.record()));
        }
    }

    /// Delivers what has not been delivered yet, the late records too.
    pub(super) fn finish(&self) {
        drop(self.records.lock().unwrap_or_else(poisoned).take());
        let written = self.written.lock().unwrap_or_else(poisoned);
        written.recv_timeout(LAST_DELIVERY).unwrap_or_default();
    }
}
