//! The name of the task that a thread runs, for reports of panics: the name of a runtime thread does not identify the task.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;

thread_local! {
    static TASK: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Returns the name of the task that the current thread runs.
pub(super) fn current() -> Option<&'static str> {
    TASK.try_with(Cell::get).ok().flatten()
}

/// Sets the name while the future runs.
pub(super) async fn named<F: Future>(name: &'static str, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let outer = TASK.replace(Some(name));
        let poll = future.as_mut().poll(context);
        TASK.set(outer);
        poll
    })
    .await
}
