//! Work on a file system that may not answer.
//!
//! A thread that waits for a dead file server cannot be ended: it is in the kernel. So the work is done by a helper thread, which is left
//! behind when it takes too long, and the directory is remembered until it comes back. Each calling thread has a helper of its own, so that
//! nobody waits for the work of others, and keeps it, so that looking at ten files ten times a second starts no threads.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::sync::{poisoned, thread};

/// How many threads may hang at a time, in the whole process. Beyond that nothing is read at all, which is an error for each file.
const MAX_HANGING: usize = 64;

/// The directories in which a helper thread hangs now.
static HANGING: Mutex<Vec<Arc<PathBuf>>> = Mutex::new(Vec::new());

thread_local! {
    static HELPER: RefCell<Option<Sender<Job>>> = const { RefCell::new(None) };
}

type Job = Box<dyn FnOnce() + Send>;

/// Does `work` on `path`, and waits for it for `patience` at most.
///
/// # Errors
/// Those of `work`; `TimedOut` when it takes longer, or when earlier work in the same directory has not come back yet.
pub(super) fn within<T: Send + 'static>(
    path: &Path,
    patience: Duration,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let directory = Arc::new(path.parent().unwrap_or(path).to_owned());
    if is_hanging(&directory) {
        return Err(no_answer());
    }
    let (give, outcome) = sync_channel(1);
    let (path, of_job) = (path.to_owned(), Arc::clone(&directory));
    let helper = submit(Box::new(move || {
        finish(&give, work(&path), &of_job);
    }))?;
    let outcome = received(&outcome, patience, directory)?;
    HELPER.set(Some(helper));
    outcome
}

/// Passes the work to this thread's helper, or to a new one, and returns the helper. A helper that is left behind ends by itself when it comes
/// back, because its queue has no sender any more.
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

/// Passes the outcome on, and removes the directory from the list if the caller has added it.
fn finish<T>(give: &SyncSender<T>, outcome: T, directory: &Arc<PathBuf>) {
    let mut hanging = hanging();
    // Under the lock: the caller either finds the outcome there, or has put the directory on the list.
    drop(give.try_send(outcome));
    hanging.retain(|one| !Arc::ptr_eq(one, directory));
}

fn received<T>(
    outcome: &Receiver<T>,
    patience: Duration,
    directory: Arc<PathBuf>,
) -> io::Result<T> {
    if let Ok(outcome) = outcome.recv_timeout(patience) {
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
    hanging.len() >= MAX_HANGING || hanging.iter().any(|one| **one == *directory)
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
    fn what_hangs_is_left_behind_and_its_directory_fails_until_it_comes_back() {
        let (let_go, held) = sync_channel::<()>(0);
        let began = Instant::now();
        let kind = |outcome: io::Result<()>| outcome.map_err(|error| error.kind());
        let stuck = within(Path::new("/stuck/a"), SHORT, move |_| {
            let _ = held.recv();
            Ok(())
        });
        assert_eq!(kind(stuck), Err(ErrorKind::TimedOut));
        let neighbour = within(Path::new("/stuck/b"), LONG, |_| Ok(()));
        assert_eq!(kind(neighbour), Err(ErrorKind::TimedOut), "at once");
        let other = within(Path::new("/elsewhere/a"), LONG, |_| Ok(()));
        assert_eq!(kind(other), Ok(()), "by another helper");
        assert!(began.elapsed() < LONG);
        let_go.send(()).unwrap();
        while within(Path::new("/stuck/b"), LONG, |_| Ok(())).is_err() {
            std::thread::yield_now();
            assert!(began.elapsed() < LONG, "the directory stays on the list");
        }
    }

    #[test]
    fn a_helper_is_kept() {
        let name = || {
            within(Path::new("/kept/a"), LONG, |_| {
                Ok(std::thread::current().id())
            })
        };
        assert_eq!(name().unwrap(), name().unwrap());
    }
}
