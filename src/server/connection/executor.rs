//! Runs the tasks that hyper starts for the streams of an HTTP/2 connection.

use std::future::Future;

use hyper::rt::Executor;

use crate::sync::{Scope, isolated_task};

/// Runs hyper's task of one HTTP/2 stream. A panic in the task resets that stream only.
#[derive(Clone, Copy)]
pub(super) struct StreamExecutor;

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        isolated_task(Scope::Connection, stream);
    }
}
