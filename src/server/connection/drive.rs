//! Drives an established connection to its end: applies its timeouts, shuts it down at a drain, and ends it when another connection displaces it.

use std::error::Error as _;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, TimeoutState};
use super::executor::StreamExecutor;
use super::guard::Guarded;
use crate::connections::{ClientStream, End, Slot};
use crate::server::settings::Limits;

/// The time that a connection without a verified request may last after a drain has shut it down. It is longer than a first request takes until its
/// signature is verified. A client that does not complete its request must not delay the stop of the proxy.
pub(super) const UNVERIFIED_GRACE: Duration = Duration::from_secs(1);

/// The stream of an established connection.
pub(super) type ClientIo = TokioIo<Guarded<TlsStream<ClientStream>>>;

/// A hyper connection of HTTP/1 or HTTP/2.
pub(super) trait Graceful: Future<Output = hyper::Result<()>> {
    /// Finishes the requests in progress and accepts no new ones.
    fn shut_down(self: Pin<&mut Self>);
}

impl<S, B> Graceful for http1::Connection<ClientIo, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, B> Graceful for http2::Connection<ClientIo, S, StreamExecutor>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// The state and the limits by which a connection is driven.
pub(super) struct ConnectionContext<'a> {
    pub slot: &'a Slot,
    pub activity: &'a Activity,
    /// The limits that were active when the connection was established.
    pub limits: Limits,
    /// Turns true when the server drains.
    pub draining: watch::Receiver<bool>,
    /// The time in which it may still send a request after a drain has begun.
    pub linger: Duration,
}

/// When the connection shuts down, and when it ends although the shutdown has not completed.
#[derive(Default)]
struct Schedule {
    shuts_down_at: Option<Instant>,
    ends_at: Option<Instant>,
    is_displaced: bool,
}

/// Drives `connection` to its end.
pub(super) async fn drive<C: Graceful>(connection: C, mut context: ConnectionContext<'_>) -> End {
    let mut connection = pin!(connection);
    let mut schedule = Schedule::default();
    loop {
        tokio::select! {
            outcome = &mut connection => return end_of(outcome, context.activity),
            () = sleep(schedule.pause(&context.limits)) => {}
            changed = context.draining.changed(), if schedule.is_open() => {
                // A closed channel means that the server has ended, which is handled like a drain.
                drop(changed);
                schedule.shuts_down_at = Some(Instant::now() + context.linger);
            }
            () = context.slot.displaced(), if !schedule.is_displaced => {
                // An unverified connection that is displaced ends at once.
                if !context.slot.is_verified() {
                    return context.activity.end();
                }
                schedule.is_displaced = true;
                connection.as_mut().shut_down();
                schedule.ends_within(context.limits.header_timeout);
            }
            () = context.activity.aged() => connection.as_mut().shut_down(),
        }
        if let Some(end) = schedule.check(&context) {
            return end;
        }
        if schedule.shuts_down_now(&context) {
            connection.as_mut().shut_down();
            if schedule.ends_at.is_none() {
                return drain(connection, &context).await;
            }
        }
    }
}

/// Returns why a connection has ended. Errors that the client causes are ignored, because every request has its own log line. But hyper and h2 reject
/// bytes that are not HTTP before there is a request.
fn end_of(outcome: hyper::Result<()>, activity: &Activity) -> End {
    if let Some(end) = outcome.err().as_ref().and_then(rejection) {
        activity.ends_by(end);
    }
    activity.end()
}

/// Returns why hyper or h2 has ended the connection; `None` when the client has ended it.
fn rejection(error: &hyper::Error) -> Option<End> {
    if error.is_parse() {
        return Some(End::Malformed);
    }
    let error: &h2::Error = error.source()?.downcast_ref()?;
    let reason = error.reason().filter(|_| error.is_library())?;
    Some(match reason {
        h2::Reason::ENHANCE_YOUR_CALM => End::Flood,
        _ => End::Malformed,
    })
}

/// Waits for the end of a connection that a drain shuts down: within the server's grace period, or within [`UNVERIFIED_GRACE`] if it is unverified.
async fn drain<C: Graceful>(mut connection: Pin<&mut C>, context: &ConnectionContext<'_>) -> End {
    let is_over = timeout(UNVERIFIED_GRACE, connection.as_mut()).await.is_ok();
    if !is_over && context.slot.is_verified() {
        drop(connection.await);
    }
    End::Drain
}

impl Schedule {
    fn is_open(&self) -> bool {
        self.shuts_down_at.is_none() && self.ends_at.is_none()
    }

    /// Returns the time until the next check.
    fn pause(&self, limits: &Limits) -> Duration {
        let shortest = limits.header_timeout.min(limits.idle_timeout);
        let tick = (shortest / 4).max(Duration::from_millis(10));
        self.shuts_down_at.map_or(tick, |at| {
            tick.min(at.saturating_duration_since(Instant::now()))
        })
    }

    fn ends_within(&mut self, time: Duration) {
        self.ends_at.get_or_insert(Instant::now() + time);
    }

    /// Returns why the connection ends now, or `None` if it stays.
    fn check(&self, context: &ConnectionContext<'_>) -> Option<End> {
        let Limits {
            header_timeout,
            idle_timeout,
            ..
        } = context.limits;
        let state = context.activity.timeout_state(header_timeout, idle_timeout);
        if state == TimeoutState::HeadTooSlow {
            context.activity.ends_by(End::HeaderTimeout);
            return Some(context.activity.end());
        }
        is_over(self.ends_at).then(|| context.activity.end())
    }

    /// Returns whether the connection shuts down now, because it is idle or because the server drains. After a drain the grace period bounds the
    /// shutdown. An idle connection ends after `header_timeout` if its client does not close it.
    fn shuts_down_now(&mut self, context: &ConnectionContext<'_>) -> bool {
        let Limits {
            header_timeout,
            idle_timeout,
            ..
        } = context.limits;
        if self.ends_at.is_some() {
            return false;
        }
        let is_idle =
            context.activity.timeout_state(header_timeout, idle_timeout) == TimeoutState::Idle;
        if is_idle {
            context.activity.ends_by(End::IdleTimeout);
            self.ends_within(header_timeout);
        }
        is_idle || is_over(self.shuts_down_at)
    }
}

fn is_over(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at <= Instant::now())
}
