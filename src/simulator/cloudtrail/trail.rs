//! A trail that is being written: records come from any thread, and one thread delivers them.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::time::Duration;

use thiserror::Error;

use super::delivery::Delivery;
use super::entry::Record;
use super::settings::TrailSettings;
use crate::sync::{poisoned, thread};

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
pub(in crate::simulator) struct Trail {
    records: Mutex<Option<Sender<Record>>>,
    /// Ends when everything is written.
    written: Mutex<Receiver<()>>,
}

/// How long the end waits for the last delivery.
const LAST_DELIVERY: Duration = Duration::from_secs(30);

impl Trail {
    /// Begins to write.
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

    /// Adds a record to those that are delivered next.
    pub(in crate::simulator) fn add(&self, record: Record) {
        let records = self.records.lock().unwrap_or_else(poisoned);
        if let Some(records) = records.as_ref() {
            // The writer lives as long as the sender.
            drop(records.send(record));
        }
    }

    /// Delivers what has not been delivered yet, the late records too.
    pub(in crate::simulator) fn finish(&self) {
        drop(self.records.lock().unwrap_or_else(poisoned).take());
        let written = self.written.lock().unwrap_or_else(poisoned);
        written.recv_timeout(LAST_DELIVERY).unwrap_or_default();
    }
}
