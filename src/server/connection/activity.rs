//! What a connection is doing, for its timeouts: written by its guard and its requests, read by the task that drives it.
//!
//! hyper has one timeout for a request's head and for the pause between requests. KMS keeps its connections idle for long and a slow loris must
//! not, so hyper's is off, and [`Activity`] tells a begun head from an idle connection.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::Instant as MovableInstant;

use crate::connections::{End, Usage};

/// The configured age of connections is spread by this share in both directions, so that those that were opened together do not end together.
const AGE_SPREAD: f64 = 0.2;

/// No request has begun since the guard looked, and one whose body has no announced length.
const NONE_BEGUN: u64 = u64::MAX;
const UNKNOWN_LENGTH: u64 = u64::MAX - 1;

/// What a connection is doing. Times are in milliseconds since its handshake was done.
pub(super) struct Activity {
    began: MovableInstant,
    usage: Arc<Usage>,
    is_http1: bool,
    had_request: AtomicBool,
    /// When the first bytes of a head came that is not complete yet, plus one; 0 when there is none.
    head_since: AtomicU64,
    /// The body of the request that has begun since the guard looked.
    begun: AtomicU64,
    ages_at: Instant,
    has_aged: Notify,
    end: OnceLock<End>,
}

/// Whether a connection may live on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Yes.
    Fine,
    /// It has been idle for too long.
    Idle,
    /// A request's head has been coming for too long.
    HeadTooSlow,
}

/// A request that has begun, as the guard has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// The length of its body in bytes.
    Sized(u64),
    /// The length of its body is not known in advance.
    Unsized,
}

impl Activity {
    /// A connection whose handshake is done; `max_age` counts from its beginning.
    pub(super) fn new(usage: &Arc<Usage>, is_http1: bool, max_age: Duration) -> Arc<Self> {
        Arc::new(Self {
            began: MovableInstant::now(),
            usage: Arc::clone(usage),
            is_http1,
            had_request: AtomicBool::new(false),
            head_since: AtomicU64::new(0),
            begun: AtomicU64::new(NONE_BEGUN),
            ages_at: usage.began() + spread(max_age, RandomState::new().hash_one(())),
            has_aged: Notify::new(),
            end: OnceLock::new(),
        })
    }

    /// Whether it speaks HTTP/1.
    pub(super) fn is_http1(&self) -> bool {
        self.is_http1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    pub(super) fn has_requests(&self) -> bool {
        self.usage.idle_since().is_none()
    }

    // ---- heads of requests

    /// A part of a head has come; its time runs, if it does not already.
    pub(super) fn head_begins(&self) {
        let at = self.now() + 1;
        let (ordering, otherwise) = (Ordering::AcqRel, Ordering::Relaxed);
        let _ = self.head_since.compare_exchange(0, at, ordering, otherwise);
    }

    /// No part of a head is waiting for its rest.
    pub(super) fn head_ends(&self) {
        self.head_since.store(0, Ordering::Release);
    }

    /// A request's head is complete; the request lasts until the guard is dropped. `body` is the length of its body, if it is known.
    pub(super) fn request_begins(self: &Arc<Self>, body: Option<u64>) -> Busy {
        self.usage.request_begins();
        self.had_request.store(true, Ordering::Relaxed);
        if self.is_http1 {
            self.head_ends();
        }
        let body = body.map_or(UNKNOWN_LENGTH, |length| length.min(UNKNOWN_LENGTH - 1));
        self.begun.store(body, Ordering::Release);
        Busy(Arc::clone(self))
    }

    /// The request that has begun since the last call.
    pub(super) fn take_begun(&self) -> Option<Begun> {
        match self.begun.swap(NONE_BEGUN, Ordering::AcqRel) {
            NONE_BEGUN => None,
            UNKNOWN_LENGTH => Some(Begun::Unsized),
            length => Some(Begun::Sized(length)),
        }
    }

    /// Judges the connection now.
    pub(super) fn judge(&self, header_timeout: Duration, idle_timeout: Duration) -> Judgement {
        let Some(idle_since) = self.usage.idle_since() else {
            return Judgement::Fine;
        };
        // The time of the first head runs from the end of the handshake.
        let head_since = match self.head_since.load(Ordering::Acquire) {
            0 => (!self.had_request.load(Ordering::Relaxed)).then_some(0),
            since => Some(since - 1),
        };
        let head_took = head_since.map(|since| self.now().saturating_sub(since));
        if head_took.is_some_and(|took| Duration::from_millis(took) >= header_timeout) {
            return Judgement::HeadTooSlow;
        }
        match idle_since.elapsed() >= idle_timeout {
            true => Judgement::Idle,
            false => Judgement::Fine,
        }
    }

    // ---- age

    /// Whether it is older than connections may be. It ends with an answer, never while it is idle.
    pub(super) fn is_too_old(&self) -> bool {
        Instant::now() >= self.ages_at
    }

    /// Has the connection say that it takes no more requests.
    pub(super) fn end_of_age(&self) {
        self.ends_by(End::MaxAge);
        self.has_aged.notify_one();
    }

    /// Resolves after [`Self::end_of_age`].
    pub(super) async fn aged(&self) {
        self.has_aged.notified().await;
    }

    // ---- its end

    /// Notes why the connection will end; the first reason counts.
    pub(super) fn ends_by(&self, end: End) {
        let _ = self.end.set(end);
    }

    /// Why it has ended.
    pub(super) fn end(&self) -> End {
        self.end.get().copied().unwrap_or(End::Closed)
    }
}

/// `age`, more or less by up to [`AGE_SPREAD`] of it.
fn spread(age: Duration, random: u64) -> Duration {
    let share = random as f64 / u64::MAX as f64;
    age.mul_f64(1.0 - AGE_SPREAD + 2.0 * AGE_SPREAD * share)
}

/// A request in progress.
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        // hyper did not read on while the request was in progress: a head that is waiting has all its time from now on.
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

    /// The activity of a connection of its own.
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
    fn an_idle_connection_is_not_a_slow_one() {
        let activity = activity(true);
        assert_eq!(
            activity.judge(Duration::ZERO, LONG),
            Judgement::HeadTooSlow,
            "the first request is due"
        );
        drop(activity.request_begins(Some(0)));
        assert_eq!(activity.judge(LONG, LONG), Judgement::Fine);
        assert_eq!(activity.judge(LONG, Duration::ZERO), Judgement::Idle);
        assert_eq!(
            activity.judge(Duration::ZERO, LONG),
            Judgement::Fine,
            "no head has begun"
        );
        activity.head_begins();
        assert_eq!(activity.judge(Duration::ZERO, LONG), Judgement::HeadTooSlow);
        activity.head_ends();
        assert_eq!(activity.judge(Duration::ZERO, LONG), Judgement::Fine);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_behind_a_request_in_progress_has_its_time_from_the_end_of_that_request() {
        let activity = activity(true);
        let busy = activity.request_begins(Some(0));
        activity.head_begins();
        let verdict = activity.judge(Duration::ZERO, Duration::ZERO);
        assert_eq!(verdict, Judgement::Fine, "a request is in progress");
        tokio::time::advance(LONG).await;
        drop(busy);
        let since_end = Duration::from_millis(1);
        assert_eq!(activity.judge(since_end, LONG), Judgement::Fine);
        assert_eq!(activity.judge(Duration::ZERO, LONG), Judgement::HeadTooSlow);
    }

    #[test]
    fn a_request_that_begins_is_told_to_the_guard_once() {
        let activity = activity(true);
        for (length, told) in [
            (Some(7), Begun::Sized(7)),
            (None, Begun::Unsized),
            (Some(u64::MAX), Begun::Sized(u64::MAX - 2)),
        ] {
            drop(activity.request_begins(length));
            assert_eq!(activity.take_begun(), Some(told));
            assert_eq!(activity.take_begun(), None);
        }
    }

    #[test]
    fn ages_are_spread_by_a_fifth_in_both_directions() {
        let age = Duration::from_secs(100);
        assert_eq!(spread(age, 0), Duration::from_secs(80));
        assert_eq!(spread(age, u64::MAX), Duration::from_secs(120));
    }
}
