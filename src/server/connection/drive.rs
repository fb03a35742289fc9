//! Drives an established connection under its timeouts, through a drain, and to its end.

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

use super::activity::{Activity, Judgement};
use super::executor::StreamExecutor;
use super::guard::Guarded;
use crate::connections::{ClientStream, End, Slot};
use crate::server::settings::Limits;

/// How long a connection without a verified request may last after it was shut down in a drain: longer than a first request takes, whose signature
/// is verified then. A stranger who does not finish a request must not hold up the stop of the proxy.
pub(super) const STRANGERS_GRACE: Duration = Duration::from_secs(1);

/// The stream of an established connection.
pub(super) type ClientIo = TokioIo<Guarded<TlsStream<ClientStream>>>;

/// A hyper connection, of either version.
pub(super) trait Graceful: Future<Output = hyper::Result<()>> {
    /// Finishes what runs, takes nothing new.
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

/// What a connection is driven by.
pub(super) struct Terms<'a> {
    pub slot: &'a Slot,
    pub activity: &'a Activity,
    /// As they were when it was accepted.
    pub limits: Limits,
    /// Turns true when the server drains.
    pub draining: watch::Receiver<bool>,
    /// How long it may still bring a request after a drain has begun.
    pub linger: Duration,
}

/// When the connection shuts down, and when patience with that is over.
#[derive(Default)]
struct Schedule {
    shuts_down_at: Option<Instant>,
    ends_at: Option<Instant>,
    is_displaced: bool,
}

/// Drives `connection` to its end.
pub(super) async fn drive<C: Graceful>(connection: C, mut terms: Terms<'_>) -> End {
    let mut connection = pin!(connection);
    let mut schedule = Schedule::default();
    loop {
        tokio::select! {
            outcome = &mut connection => return end_of(outcome, terms.activity),
            () = sleep(schedule.pause(&terms.limits)) => {}
            changed = terms.draining.changed(), if schedule.is_open() => {
                // A closed channel means that the server is gone: the same as a drain.
                drop(changed);
                schedule.shuts_down_at = Some(Instant::now() + terms.linger);
            }
            () = terms.slot.displaced(), if !schedule.is_displaced => {
                // A stranger that is displaced is not waited for.
                if !terms.slot.is_verified() {
                    return terms.activity.end();
                }
                schedule.is_displaced = true;
                connection.as_mut().shut_down();
                schedule.ends_within(terms.limits.header_timeout);
            }
            () = terms.activity.aged() => connection.as_mut().shut_down(),
        }
        if let Some(end) = schedule.look(&terms) {
            return end;
        }
        if schedule.shuts_down_now(&terms) {
            connection.as_mut().shut_down();
            if schedule.ends_at.is_none() {
                return drain(connection, &terms).await;
            }
        }
    }
}

/// Why a connection has ended. How it ends is the client's business, and every request has a line of its own in the log; but hyper and h2 reject
/// what is not HTTP before it is a request.
fn end_of(outcome: hyper::Result<()>, activity: &Activity) -> End {
    if let Some(end) = outcome.err().as_ref().and_then(rejection) {
        activity.ends_by(end);
    }
    activity.end()
}

/// Why hyper or h2 has ended the connection; none when the client has.
fn rejection(error: &hyper::Error) -> Option<End> {
    if error.is_parse() {
        return Some(End::Malformed);
    }
    let of_http2: &h2::Error = error.source()?.downcast_ref()?;
    let reason = of_http2.reason().filter(|_| of_http2.is_library())?;
    Some(match reason {
        h2::Reason::ENHANCE_YOUR_CALM => End::Flood,
        _ => End::Malformed,
    })
}

/// Waits for the end of a connection that shuts down in a drain. The server's grace period bounds it; a stranger has [`STRANGERS_GRACE`].
async fn drain<C: Graceful>(mut connection: Pin<&mut C>, terms: &Terms<'_>) -> End {
    let is_over = timeout(STRANGERS_GRACE, connection.as_mut()).await.is_ok();
    if !is_over && terms.slot.is_verified() {
        drop(connection.await);
    }
    End::Drain
}

impl Schedule {
    fn is_open(&self) -> bool {
        self.shuts_down_at.is_none() && self.ends_at.is_none()
    }

    /// Until the next look.
    fn pause(&self, limits: &Limits) -> Duration {
        let shortest = limits.header_timeout.min(limits.idle_timeout);
        let tick = (shortest / 4).max(Duration::from_millis(10));
        self.shuts_down_at.map_or(tick, |at| {
            tick.min(at.saturating_duration_since(Instant::now()))
        })
    }

    fn ends_within(&mut self, patience: Duration) {
        self.ends_at.get_or_insert(Instant::now() + patience);
    }

    /// Why it ends now, if it does.
    fn look(&self, terms: &Terms<'_>) -> Option<End> {
        let Limits {
            header_timeout,
            idle_timeout,
            ..
        } = terms.limits;
        let judgement = terms.activity.judge(header_timeout, idle_timeout);
        if judgement == Judgement::HeadTooSlow {
            terms.activity.ends_by(End::HeaderTimeout);
            return Some(terms.activity.end());
        }
        is_over(self.ends_at).then(|| terms.activity.end())
    }

    /// Whether it shuts down now: it is idle, or a drain says so. A drain has a grace period of its own; an idle client that does not take its
    /// goodbye has `header_timeout`.
    fn shuts_down_now(&mut self, terms: &Terms<'_>) -> bool {
        let Limits {
            header_timeout,
            idle_timeout,
            ..
        } = terms.limits;
        if self.ends_at.is_some() {
            return false;
        }
        let is_idle = terms.activity.judge(header_timeout, idle_timeout) == Judgement::Idle;
        if is_idle {
            terms.activity.ends_by(End::IdleTimeout);
            self.ends_within(header_timeout);
        }
        is_idle || is_over(self.shuts_down_at)
    }
}

fn is_over(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at <= Instant::now())
}
