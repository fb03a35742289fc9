//! Drives an established connection under its timeouts, through a drain, and to its end.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Judgement};
use super::guard::Guarded;
use super::panics::StreamExecutor;
use super::settings::Limits;
use crate::connections::{ClientStream, End, Slot};

/// The stream of an established connection.
pub(super) type ClientIo = TokioIo<Guarded<TlsStream<ClientStream>>>;

/// A hyper connection, of either version.
pub(super) trait Graceful: Future {
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
            // How a connection ends is the client's business; every request has its own line in the log.
            _ = &mut connection => return terms.activity.end(),
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
                // The server's grace period bounds it.
                connection.await;
                return End::Drain;
            }
        }
    }
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
