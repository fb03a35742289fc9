//! The activity of a connection, for its timeouts. Its guard and its requests update it; the task that drives the connection reads it.
//!
//! hyper has one timeout for a request's head and for the pause between requests. KMS may keep a connection idle for long, but a client must not send
//! a head slowly (Slowloris). So hyper's timeout is off, and [`Activity`] distinguishes an incomplete head from an idle connection.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::Instant as MovableInstant;

use crate::connections::{End, Usage};

/// The maximum age of each connection is random: the configured age, more or less by up to this fraction. So connections that were opened together do
/// not end together.
const AGE_SPREAD: f64 = 0.2;

/// No request has begun since the guard's last call.
const NO_NEW_REQUEST: u64 = u64::MAX;

/// A request has begun whose body has no announced length.
const UNKNOWN_LENGTH: u64 = u64::MAX - 1;

/// The activity of a connection. Times are in milliseconds since the end of its handshake.
pub(super) struct Activity {
    began: MovableInstant,
    usage: Arc<Usage>,
    is_http1: bool,
    had_request: AtomicBool,
    /// The arrival of the first bytes of a head that is still incomplete, plus one; 0 if no head is incomplete.
    head_since: AtomicU64,
    /// The body length of the request that has begun since the guard's last call, or one of the two constants above.
    new_request: AtomicU64,
    ages_at: Instant,
    has_aged: Notify,
    end: OnceLock<End>,
}

/// The state of the timeouts of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeoutState {
    /// No timeout has passed.
    InTime,
    /// It has been idle for too long.
    Idle,
    /// A request's head has been incomplete for too long.
    HeadTooSlow,
}

/// A request that has begun, for the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewRequest {
    /// The length of its body in bytes.
    Sized(u64),
    /// The length of its body is not known in advance.
    Unsized,
}

impl Activity {
    /// Creates the activity of a connection whose handshake is done. `max_age` counts from its accept.
    pub(super) fn new(usage: &Arc<Usage>, is_http1: bool, max_age: Duration) -> Arc<Self> {
        Arc::new(Self {
            began: MovableInstant::now(),
            usage: Arc::clone(usage),
            is_http1,
            had_request: AtomicBool::new(false),
            head_since: AtomicU64::new(0),
            new_request: AtomicU64::new(NO_NEW_REQUEST),
            ages_at: usage.began() + spread(max_age, RandomState::new().hash_one(())),
            has_aged: Notify::new(),
            end: OnceLock::new(),
        })
    }

    /// Returns whether its protocol is HTTP/1.
    pub(super) fn is_http1(&self) -> bool {
        self.is_http1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// Returns whether a request is in progress.
    pub(super) fn has_requests(&self) -> bool {
        self.usage.idle_since().is_none()
    }

    // ---- heads of requests

    /// Records that a part of a head has arrived. The timeout counts from the first call after [`Self::head_ends`].
    pub(super) fn head_begins(&self) {
        let at = self.now() + 1;
        let (ordering, otherwise) = (Ordering::AcqRel, Ordering::Relaxed);
        let _ = self.head_since.compare_exchange(0, at, ordering, otherwise);
    }

    /// Records that no head is incomplete.
    pub(super) fn head_ends(&self) {
        self.head_since.store(0, Ordering::Release);
    }

    /// Records that a request's head is complete. The request is in progress until the returned value is dropped. `body` is the body's length in bytes,
    /// if it is known.
    pub(super) fn request_begins(self: &Arc<Self>, body: Option<u64>) -> RequestInProgress {
        self.usage.request_begins();
        self.had_request.store(true, Ordering::Relaxed);
        if self.is_http1 {
            self.head_ends();
        }
        let body = body.map_or(UNKNOWN_LENGTH, |length| length.min(UNKNOWN_LENGTH - 1));
        self.new_request.store(body, Ordering::Release);
        RequestInProgress(Arc::clone(self))
    }

    /// Returns the request that has begun since the last call.
    pub(super) fn take_new_request(&self) -> Option<NewRequest> {
        match self.new_request.swap(NO_NEW_REQUEST, Ordering::AcqRel) {
            NO_NEW_REQUEST => None,
            UNKNOWN_LENGTH => Some(NewRequest::Unsized),
            length => Some(NewRequest::Sized(length)),
        }
    }

    /// Returns whether a timeout has passed now.
    pub(super) fn timeout_state(
        &self,
        header_timeout: Duration,
        idle_timeout: Duration,
    ) -> TimeoutState {
        let Some(idle_since) = self.usage.idle_since() else {
            return TimeoutState::InTime;
        };
        // The timeout of the first head counts from the end of the handshake.
        let head_since = match self.head_since.load(Ordering::Acquire) {
            0 => (!self.had_request.load(Ordering::Relaxed)).then_some(0),
            since => Some(since - 1),
        };
        let head_took = head_since.map(|since| self.now().saturating_sub(since));
        if head_took.is_some_and(|took| Duration::from_millis(took) >= header_timeout) {
            return TimeoutState::HeadTooSlow;
        }
        match idle_since.elapsed() >= idle_timeout {
            true => TimeoutState::Idle,
            false => TimeoutState::InTime,
        }
    }

    // ---- age

    /// Returns whether it is older than its maximum age. It then ends with its next response, never while it is idle.
    pub(super) fn is_too_old(&self) -> bool {
        Instant::now() >= self.ages_at
    }

    /// Makes the task of the connection announce that it accepts no more requests.
    pub(super) fn announce_end_of_age(&self) {
        self.ends_by(End::MaxAge);
        self.has_aged.notify_one();
    }

    /// Resolves after [`Self::announce_end_of_age`].
    pub(super) async fn aged(&self) {
        self.has_aged.notified().await;
    }

    // ---- its end

    /// Records why the connection will end. Only the first reason is kept.
    pub(super) fn ends_by(&self, end: End) {
        let _ = self.end.set(end);
    }

    /// Returns why it has ended.
    pub(super) fn end(&self) -> End {
        self.end.get().copied().unwrap_or(End::Closed)
    }
}

/// Returns `age`, more or less by up to [`AGE_SPREAD`].
fn spread(age: Duration, random: u64) -> Duration {
    let fraction = random as f64 / u64::MAX as f64;
    age.mul_f64(1.0 - AGE_SPREAD + 2.0 * AGE_SPREAD * fraction)
}

/// A request in progress.
pub(super) struct RequestInProgress(Arc<Activity>);

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        // hyper did not read while the request was in progress, so the timeout of an incomplete head counts from now.
        let now = self.0.now() + 1;
        let renewed = |since: u64| (since != 0).then_some(now);
        let (ordering, otherwise) = (Ordering::AcqRel, Ordering::Acquire);
        let head_since = &self.0.head_since;
        let _ = head_since.fetch_update(ordering, otherwise, renewed);
        self.0.usage.request_ends();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::connections::{ConnectionMetrics, Connections, PoolLimits};
    use crate::metrics::Metrics;

    const LONG: Duration = Duration::from_secs(60);

    /// Returns the activity of a new connection.
    pub(in crate::server::connection) fn activity(is_http1: bool) -> Arc<Activity> {
        let metrics = ConnectionMetrics::declare(&Metrics::default()).unwrap();
        let limits = PoolLimits {
            max_verified: 1,
            max_unverified: 1,
            max_unverified_per_source: 1,
        };
        let connections = Connections::new("test", limits, &metrics);
        let slot = connections.admit(([127, 0, 0, 1], 1).into()).unwrap();
        Activity::new(slot.usage(), is_http1, LONG)
    }

    #[test]
    fn an_idle_connection_is_not_taken_for_a_slow_one() {
        let activity = activity(true);
        assert_eq!(
            activity.timeout_state(Duration::ZERO, LONG),
            TimeoutState::HeadTooSlow,
            "the first request is missing"
        );
        drop(activity.request_begins(Some(0)));
        assert_eq!(activity.timeout_state(LONG, LONG), TimeoutState::InTime);
        assert_eq!(
            activity.timeout_state(LONG, Duration::ZERO),
            TimeoutState::Idle
        );
        assert_eq!(
            activity.timeout_state(Duration::ZERO, LONG),
            TimeoutState::InTime,
            "no head has begun"
        );
        activity.head_begins();
        assert_eq!(
            activity.timeout_state(Duration::ZERO, LONG),
            TimeoutState::HeadTooSlow
        );
        activity.head_ends();
        assert_eq!(
            activity.timeout_state(Duration::ZERO, LONG),
            TimeoutState::InTime
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_timeout_of_a_pipelined_head_counts_from_the_end_of_the_request_before_it() {
        let activity = activity(true);
        let in_progress = activity.request_begins(Some(0));
        activity.head_begins();
        let state = activity.timeout_state(Duration::ZERO, Duration::ZERO);
        assert_eq!(state, TimeoutState::InTime, "a request is in progress");
        tokio::time::advance(LONG).await;
        drop(in_progress);
        let since_end = Duration::from_millis(1);
        assert_eq!(
            activity.timeout_state(since_end, LONG),
            TimeoutState::InTime
        );
        assert_eq!(
            activity.timeout_state(Duration::ZERO, LONG),
            TimeoutState::HeadTooSlow
        );
    }

    #[test]
    fn a_new_request_is_reported_to_the_guard_once() {
        let activity = activity(true);
        for (length, reported) in [
            (Some(7), NewRequest::Sized(7)),
            (None, NewRequest::Unsized),
            (Some(u64::MAX), NewRequest::Sized(u64::MAX - 2)),
        ] {
            drop(activity.request_begins(length));
            assert_eq!(activity.take_new_request(), Some(reported));
            assert_eq!(activity.take_new_request(), None);
        }
    }

    #[test]
    fn the_maximum_age_varies_by_a_fifth() {
        let age = Duration::from_secs(100);
        assert_eq!(spread(age, 0), Duration::from_secs(80));
        assert_eq!(spread(age, u64::MAX), Duration::from_secs(120));
    }
}
