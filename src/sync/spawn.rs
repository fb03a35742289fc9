//! The only place where threads and tasks are started.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::thread::{Builder, JoinHandle};

use tokio::runtime::Handle;

use super::fatal;
use super::scope::{Scope, contained_future};
use super::task_name::named;

/// How an essential thread or task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to end.
    Requested,
    /// Nobody asked: the process ends. The text says what is missing without it.
    Unexpected(Cow<'static, str>),
}

/// Starts a thread whose result or end somebody waits for.
///
/// # Errors
/// When the operating system cannot start a thread; so for [`essential_thread`].
pub fn thread<T: Send + 'static>(
    name: impl Into<String>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.into()).spawn(work)
}

/// Starts a thread without which the process must not go on.
///
/// # Errors
/// See [`thread`].
pub fn essential_thread(
    name: impl Into<String>,
    work: impl FnOnce() -> End + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let name = name.into();
    let for_thread = name.clone();
    thread(name, move || conclude(&for_thread, work()))
}

/// Starts a task whose result or end somebody waits for, on the current runtime. A task that is aborted ends silently: its owner did that.
pub fn task<F>(name: &'static str, future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    task_on(&Handle::current(), name, future)
}

/// The same on this runtime.
pub fn task_on<F>(
    runtime: &Handle,
    name: &'static str,
    future: F,
) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    runtime.spawn(named(name, future))
}

/// Starts a task without which the process must not go on.
pub fn essential_task(
    name: &'static str,
    future: impl Future<Output = End> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    task(name, async move { conclude(name, future.await) })
}

/// Starts a task that may panic alone.
pub fn isolated_task(
    scope: Scope,
    future: impl Future<Output = ()> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    // A panic has been logged and counted; the task ends by it as it would by itself.
    task(scope.as_str(), async move {
        drop(contained_future(scope, future).await);
    })
}

/// Runs work that blocks, on the current runtime's threads for that, for somebody who waits for its result.
pub fn blocking_task<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

fn conclude(name: &str, end: End) {
    match end {
        End::Requested => {}
        End::Unexpected(what) => fatal::end(&format!("{name} ended without being asked: {what}")),
    }
}
