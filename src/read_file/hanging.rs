//! Work on a file system that may not answer.
//!
//! A thread that waits for an unreachable file server cannot be stopped, because it waits in the kernel. So a helper thread does the work.
//! If the helper takes too long, it is abandoned, and its directory is on a list until the helper returns. Each calling thread has a
//! separate helper, so callers do not wait for each other. It keeps the helper, so frequent checks start no threads.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::sync::{poisoned, thread};

/// The maximum number of hanging threads in the process. Above it, no file is read: each attempt is an error.
const MAX_HANGING: usize = 64;

/// The directories in which a helper thread hangs.
static HANGING: Mutex<Vec<Arc<PathBuf>>> = Mutex::new(Vec::new());

thread_local! {
    static HELPER: RefCell<Option<Sender<Job>>> = const { RefCell::new(None) };
}

type Job = Box<dyn FnOnce() + Send>;

/// Does `work` on `path`, and waits for it at most for `timeout`.
///
/// # Errors
/// Those of `work`; `TimedOut` if it takes longer, or if earlier work in the same directory has not returned yet.
pub(super) fn within<T: Send + 'static>(
    path: &Path,
    timeout: Duration,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let directory = Arc::new(path.parent().unwrap_or(path).to_owned());
    if is_hanging(&directory) {
        return Err(no_answer());
    }
    let (sender, outcome) = sync_channel(1);
    let (path, job_directory) = (path.to_owned(), Arc::clone(&directory));
    let helper = submit(Box::new(move || {
        finish(&sender, work(&path), &job_directory);
    }))?;
    let outcome = received(&outcome, timeout, directory)?;
    HELPER.set(Some(helper));
    outcome
}

/// Passes the work to the helper of this thread, or to a new one, and returns the helper. An abandoned helper ends when its work
/// returns, because its queue has no sender.
fn submit(job: Job) -> io::Result<Sender<Job>> {
    let mut job = job;
    if let Some(helper) = HELPER.take() {
        match helper.send(job) {
            Ok(()) => return Ok(helper),
            Err(returned) => job = returned.0,
        }
    }
    let (helper, jobs) = channel::<Job>();
    thread("xks-files", move || jobs.into_iter().for_each(|job| job()))?;
    drop(helper.send(job));
    Ok(helper)
}

/// Sends the outcome, and removes the directory from the list if the caller has added it.
fn finish<T>(sender: &SyncSender<T>, outcome: T, directory: &Arc<PathBuf>) {
    let mut hanging = hanging();
    // Sent under the lock: the caller either receives the outcome, or has already added the directory.
    drop(sender.try_send(outcome));
    hanging.retain(|listed| !Arc::ptr_eq(listed, directory));
}

fn received<T>(outcome: &Receiver<T>, timeout: Duration, directory: Arc<PathBuf>) -> io::Result<T> {
    if let Ok(outcome) = outcome.recv_timeout(timeout) {
        return Ok(outcome);
    }
    let mut hanging = hanging();
    if let Ok(outcome) = outcome.try_recv() {
        return Ok(outcome);
    }
    hanging.push(directory);
    Err(no_answer())
}

fn is_hanging(directory: &PathBuf) -> bool {
    let hanging = hanging();
    hanging.len() >= MAX_HANGING || hanging.iter().any(|listed| **listed == *directory)
}

fn hanging() -> MutexGuard<'static, Vec<Arc<PathBuf>>> {
    HANGING.lock().unwrap_or_else(poisoned)
}

fn no_answer() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the file system does not answer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;
    use std::time::Instant;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_hanging_helper_is_abandoned_and_its_directory_fails_until_it_returns() {
        let (release, blocked) = sync_channel::<()>(0);
        let began = Instant::now();
        let kind = |outcome: io::Result<()>| outcome.map_err(|error| error.kind());
        let stuck = within(Path::new("/stuck/a"), SHORT, move |_| {
            let _ = blocked.recv();
            Ok(())
        });
        assert_eq!(kind(stuck), Err(ErrorKind::TimedOut));
        let neighbour = within(Path::new("/stuck/b"), LONG, |_| Ok(()));
        assert_eq!(kind(neighbour), Err(ErrorKind::TimedOut), "immediately");
        let other = within(Path::new("/elsewhere/a"), LONG, |_| Ok(()));
        assert_eq!(kind(other), Ok(()), "another helper does it");
        assert!(began.elapsed() < LONG);
        release.send(()).unwrap();
        while within(Path::new("/stuck/b"), LONG, |_| Ok(())).is_err() {
            std::thread::yield_now();
            assert!(began.elapsed() < LONG, "the directory stays on the list");
        }
    }

    #[test]
    fn a_helper_is_reused() {
        let name = || {
            within(Path::new("/kept/a"), LONG, |_| {
                Ok(std::thread::current().id())
            })
        };
        assert_eq!(name().unwrap(), name().unwrap());
    }
}
