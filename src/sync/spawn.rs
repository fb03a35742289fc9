//! Starts threads and tasks. No other file does.

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
    /// Its end was requested.
    Requested,
    /// Its end was not requested: the process ends. The text is the lost function.
    Unexpected(Cow<'static, str>),
}

/// Starts a thread whose result or end is awaited.
///
/// # Errors
/// When the operating system cannot start a thread.
pub fn thread<T: Send + 'static>(
    name: impl Into<String>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.into()).spawn(work)
}

/// Starts a thread that the process cannot work without.
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

/// Starts a task whose result or end is awaited, on the current runtime. Aborting a task has no further effect.
pub fn task<F>(name: &'static str, future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    task_on(&Handle::current(), name, future)
}

/// Starts a task as [`task`] does, on the given runtime.
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

/// Starts a task that the process cannot work without.
pub fn essential_task(
    name: &'static str,
    future: impl Future<Output = End> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    task(name, async move { conclude(name, future.await) })
}

/// Starts a task whose panic ends only this task.
pub fn isolated_task(
    scope: Scope,
    future: impl Future<Output = ()> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    // The panic was logged and counted. The task ends as without a panic.
    task(scope.as_str(), async move {
        drop(contained_future(scope, future).await);
    })
}

/// Runs blocking work on the blocking threads of the current runtime. Its result is awaited.
pub fn blocking_task<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

fn conclude(name: &str, end: End) {
    match end {
        End::Requested => {}
        End::Unexpected(lost) => fatal::end(&format!("{name} ended unexpectedly: {lost}")),
    }
}
