//! The first reading of the configuration.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::first_signals::FirstSignals;
use crate::app::error::AppError;
use crate::config::{self, CertificateReading, Loaded, Reading, Sources};
use crate::sync::thread;

/// How long the start waits for a file system that does not answer: after a boot, a file server may take its time.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// How soon a signal is noticed.
const POLL: Duration = Duration::from_millis(10);

/// A configuration without faults, as it was read from the file.
pub(in crate::app) struct FirstReading {
    pub(in crate::app) file: PathBuf,
    pub(in crate::app) sources: Sources,
    pub(in crate::app) loaded: Loaded,
    pub(in crate::app) certificate: CertificateReading,
}

/// Reads the configuration. Returns none if the proxy is asked to stop before it has been read.
///
/// # Errors
/// [`AppError::Configuration`], [`AppError::NoAnswer`], and [`AppError::Io`] without a thread.
pub(in crate::app) fn first_reading(
    file: &Path,
    signals: &FirstSignals,
) -> Result<Option<FirstReading>, AppError> {
    let Some(reading) = with_patience(file, signals)? else {
        return Ok(None);
    };
    let lacks_an_answer = reading.sources.lack_an_answer();
    let loaded = reading.outcome.map_err(|faults| match lacks_an_answer {
        true => AppError::NoAnswer(faults),
        false => AppError::Configuration(faults),
    })?;
    Ok(Some(FirstReading {
        file: file.to_owned(),
        sources: reading.sources,
        certificate: reading.certificate,
        loaded,
    }))
}

/// None if the proxy is asked to stop.
fn with_patience(file: &Path, signals: &FirstSignals) -> io::Result<Option<Reading>> {
    let until = Instant::now() + ANSWER_PATIENCE;
    loop {
        let Some(reading) = read(file, signals)? else {
            return Ok(None);
        };
        let is_waited_for = reading.outcome.is_err() && reading.sources.lack_an_answer();
        if !is_waited_for || Instant::now() >= until {
            return Ok(Some(reading));
        }
        if is_stopped_within(PAUSE, signals) {
            return Ok(None);
        }
    }
}

/// In a thread that may block, so that a signal ends the start while it reads. Without that, the thread ends with the reading: a sandbox
/// is applied to a process with one thread.
fn read(file: &Path, signals: &FirstSignals) -> io::Result<Option<Reading>> {
    let file = file.to_owned();
    let (give, taken) = sync_channel(1);
    thread("xks-start", move || drop(give.send(config::read(&file))))?;
    loop {
        match taken.recv_timeout(POLL) {
            Ok(reading) => return Ok(Some(reading)),
            Err(RecvTimeoutError::Timeout) if signals.stop().is_some() => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the configuration was not read: a panic"));
            }
        }
    }
}

fn is_stopped_within(pause: Duration, signals: &FirstSignals) -> bool {
    let until = Instant::now() + pause;
    while signals.stop().is_none() {
        if Instant::now() >= until {
            return false;
        }
        sleep(POLL);
    }
    true
}
