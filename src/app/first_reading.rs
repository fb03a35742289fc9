//! The first reading of the configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::AppError;
use super::signals::Signals;
use crate::config::{self, CertificateReading, Loaded, Reading, Sources};
use crate::sync::blocking_task;

/// How long the start waits for a file system that does not answer: after a boot, a file server may take its time.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// A configuration without faults, as it was read from the file.
pub(super) struct FirstReading {
    pub(super) file: PathBuf,
    pub(super) sources: Sources,
    pub(super) loaded: Loaded,
    pub(super) certificate: CertificateReading,
}

/// Reads the configuration. Returns none if the proxy is asked to stop before it has been read.
///
/// # Errors
/// [`AppError::Configuration`] and [`AppError::NoAnswer`].
pub(super) async fn first_reading(
    file: &Path,
    signals: &Signals,
) -> Result<Option<FirstReading>, AppError> {
    let reading = tokio::select! {
        reading = with_patience(file) => reading?,
        () = signals.stop() => return Ok(None),
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

async fn with_patience(file: &Path) -> Result<Reading, AppError> {
    let until = Instant::now() + ANSWER_PATIENCE;
    loop {
        let of_task = file.to_owned();
        // In a thread that may block, so that signals are handled while it reads.
        let reading = blocking_task(move || config::read(&of_task)).await;
        let reading = reading.map_err(|error| AppError::Io(std::io::Error::other(error)))?;
        let is_waited_for = reading.outcome.is_err() && reading.sources.lack_an_answer();
        if !is_waited_for || Instant::now() >= until {
            return Ok(reading);
        }
        sleep(PAUSE).await;
    }
}
