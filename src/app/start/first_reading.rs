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

/// How long the start waits for a file system that does not answer. A file server may be slow after a boot.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Interval between checks for a signal.
const POLL: Duration = Duration::from_millis(10);

/// A valid configuration, with what was read for it.
pub(in crate::app) struct FirstReading {
    pub(in crate::app) file: PathBuf,
    pub(in crate::app) sources: Sources,
    pub(in crate::app) loaded: Loaded,
    pub(in crate::app) certificate: CertificateReading,
}

/// Reads the configuration. Returns none if the proxy receives a stop signal before it has been read.
///
/// # Errors
/// [`AppError::Configuration`], [`AppError::NoAnswer`], and [`AppError::Io`] if no thread can be started.
pub(in crate::app) fn first_reading(
    file: &Path,
    signals: &FirstSignals,
) -> Result<Option<FirstReading>, AppError> {
    let Some(reading) = read_with_patience(file, signals)? else {
        return Ok(None);
    };
    let lacks_answer = reading.sources.lack_an_answer();
    let loaded = reading.outcome.map_err(|findings| match lacks_answer {
        true => AppError::NoAnswer(findings),
        false => AppError::Configuration(findings),
    })?;
    Ok(Some(FirstReading {
        file: file.to_owned(),
        sources: reading.sources,
        certificate: reading.certificate,
        loaded,
    }))
}

/// Reads until all file systems answer, or [`ANSWER_PATIENCE`] has passed. Returns none if the proxy receives a stop signal.
fn read_with_patience(file: &Path, signals: &FirstSignals) -> io::Result<Option<Reading>> {
    let until = Instant::now() + ANSWER_PATIENCE;
    loop {
        let Some(reading) = read(file, signals)? else {
            return Ok(None);
        };
        let may_succeed_later = reading.outcome.is_err() && reading.sources.lack_an_answer();
        if !may_succeed_later || Instant::now() >= until {
            return Ok(Some(reading));
        }
        if is_stopped_within(PAUSE, signals) {
            return Ok(None);
        }
    }
}

/// Reads in a thread that may block, so that a signal can end the start. Otherwise the thread ends when it has read: the sandbox needs a
/// process with one thread.
fn read(file: &Path, signals: &FirstSignals) -> io::Result<Option<Reading>> {
    let file = file.to_owned();
    let (sender, receiver) = sync_channel(1);
    thread("xks-start", move || drop(sender.send(config::read(&file))))?;
    loop {
        match receiver.recv_timeout(POLL) {
            Ok(reading) => return Ok(Some(reading)),
            Err(RecvTimeoutError::Timeout) if signals.stop().is_some() => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("reading the configuration panicked"));
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
