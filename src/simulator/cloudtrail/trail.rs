//! The CloudTrail of all accounts. Any thread adds records, and one thread writes them.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::time::Duration;

use thiserror::Error;

use super::delivery::Delivery;
use super::entry::TrailRecord;
use super::settings::TrailSettings;
use crate::sync::{poisoned, thread};

/// The reason why CloudTrail records cannot be written.
#[derive(Debug, Error)]
pub enum TrailError {
    /// The directory cannot be created.
    #[error("{0}: {1}")]
    Directory(PathBuf, std::io::Error),
    /// The writing thread cannot be started.
    #[error("cannot start the thread that writes CloudTrail records: {0}")]
    Thread(std::io::Error),
}

/// The CloudTrail of all accounts.
pub(in crate::simulator) struct CloudTrail {
    records: Mutex<Option<Sender<TrailRecord>>>,
    /// Disconnected when everything is written.
    written: Mutex<Receiver<()>>,
}

/// The time limit for the last delivery.
const LAST_DELIVERY: Duration = Duration::from_secs(30);

impl CloudTrail {
    /// Creates the directory and starts the writing thread.
    pub(in crate::simulator) fn start(settings: TrailSettings) -> Result<Self, TrailError> {
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

    /// Adds a record for the next delivery.
    pub(in crate::simulator) fn add(&self, record: TrailRecord) {
        let records = self.records.lock().unwrap_or_else(poisoned);
        if let Some(records) = records.as_ref() {
            // The thread ends only after the sender.
            drop(records.send(record));
        }
    }

    /// Delivers all remaining records, including late ones.
    pub(in crate::simulator) fn finish(&self) {
        drop(self.records.lock().unwrap_or_else(poisoned).take());
        let written = self.written.lock().unwrap_or_else(poisoned);
        written.recv_timeout(LAST_DELIVERY).unwrap_or_default();
    }
}
