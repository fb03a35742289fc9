//! The work that may panic without ending the process.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use thiserror::Error;

/// The work that a panic ends. The names are the values of the label `where` of `xks_panics_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One request, which is answered with an error.
    Request,
    /// One connection, which is closed.
    Connection,
    /// One connection to the admin listener, which is closed.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 3] = [Self::Request, Self::Connection, Self::Admin];

    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Connection => "connection",
            Self::Admin => "admin",
        }
    }
}

/// The work panicked. The panic has been logged and counted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a panic in the proxy; the log has its location")]
pub struct Panicked;

static COUNTS: [AtomicU64; Scope::ALL.len()] = [const { AtomicU64::new(0) }; Scope::ALL.len()];

thread_local! {
    static CURRENT: Cell<Option<Scope>> = const { Cell::new(None) };
}

/// Returns the number of panics in this scope since the start of the process.
pub fn panics(scope: Scope) -> u64 {
    count_of(scope).load(Ordering::Relaxed)
}

/// Runs `work`; a panic ends this work only.
///
/// # Errors
/// [`Panicked`]. Shared data stays consistent: it is behind locks, and [`super::poisoned`] ends the process if a lock was held.
pub fn contained<T>(scope: Scope, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let _entered = Entered::into(scope);
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

/// Awaits `future`; a panic ends this future only.
///
/// # Errors
/// [`Panicked`], as for [`contained`].
pub async fn contained_future<F: Future>(scope: Scope, future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(
        |context| match contained(scope, || future.as_mut().poll(context)) {
            Ok(poll) => poll.map(Ok),
            Err(panicked) => Poll::Ready(Err(panicked)),
        },
    )
    .await
}

/// Returns the scope of the current thread's work, for the panic hook.
pub(super) fn current() -> Option<Scope> {
    // A thread that is ending has no thread-local values.
    CURRENT.try_with(Cell::get).ok().flatten()
}

pub(super) fn count(scope: Scope) {
    count_of(scope).fetch_add(1, Ordering::Relaxed);
}

fn count_of(scope: Scope) -> &'static AtomicU64 {
    let [request, connection, admin] = &COUNTS;
    match scope {
        Scope::Request => request,
        Scope::Connection => connection,
        Scope::Admin => admin,
    }
}

/// Puts the thread into a scope until this is dropped. Scopes nest: a request is in a connection.
struct Entered(Option<Scope>);

impl Entered {
    fn into(scope: Scope) -> Self {
        Self(CURRENT.replace(Some(scope)))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}
