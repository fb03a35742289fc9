//! The number of threads that serve requests.

use std::ffi::OsString;
use std::{env, thread};

use thiserror::Error;

/// The environment variable that sets the number. Its name and meaning are those of tokio.
const VARIABLE: &str = "TOKIO_WORKER_THREADS";

/// More threads than any machine needs. A larger number is a mistake.
const MAX_THREADS: usize = 1_024;

/// The environment variable does not have a valid number.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{VARIABLE} must be a number from 1 to {MAX_THREADS}, not {}", .0.display())]
pub struct InvalidThreads(OsString);

/// Returns the number of threads that serve requests: the value of `TOKIO_WORKER_THREADS`, or one less than there are CPUs, at least one.
///
/// # Errors
/// [`InvalidThreads`] when the variable is set and is not a number from 1 to 1,024.
pub(super) fn request_threads() -> Result<usize, InvalidThreads> {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    threads(env::var_os(VARIABLE), cpus)
}

/// The PKCS#11 libraries run in other processes. If the front has a thread for each CPU, its threads wake each other for every few requests
/// and displace the workers: with two CPUs, an Encrypt then costs a third more CPU time.
fn threads(configured: Option<OsString>, cpus: usize) -> Result<usize, InvalidThreads> {
    let Some(text) = configured else {
        return Ok(cpus.saturating_sub(1).max(1));
    };
    let number = text.to_str().and_then(|number| number.parse().ok());
    number
        .filter(|number| (1..=MAX_THREADS).contains(number))
        .ok_or(InvalidThreads(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cpu_is_left_to_the_workers() {
        for (cpus, expected) in [(1, 1), (2, 1), (4, 3), (64, 63)] {
            assert_eq!(threads(None, cpus), Ok(expected), "{cpus} CPUs");
        }
    }

    #[test]
    fn the_variable_sets_the_number() {
        for (text, expected) in [("1", 1), ("2", 2), ("1024", 1_024)] {
            assert_eq!(threads(Some(text.into()), 4), Ok(expected));
        }
    }

    #[test]
    fn an_invalid_number_is_an_error() {
        for text in ["", "0", "1025", "-1", "two", "2 "] {
            let error = threads(Some(text.into()), 4).unwrap_err().to_string();
            assert!(error.starts_with("TOKIO_WORKER_THREADS must be"), "{error}");
        }
    }
}
