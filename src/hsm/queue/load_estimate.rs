//! Estimates how long a new job would take, from the current jobs of the sessions and the mean service time.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

// Tokio's clock, because tests can stop and advance it.
use tokio::time::Instant;

use crate::sync::poisoned;

/// The weight of the newest job in the mean service time: 1 / 16.
const NEWEST_WEIGHT: u64 = 16;

/// The longest sample, so that one hanging call does not distort the mean for long.
const LONGEST_SAMPLE: Duration = Duration::from_secs(1);

/// The time without a job after which the mean halves, so that a device that was slow gets jobs again.
const HALF_LIFE_MS: u64 = 1_000;

/// The load of one session. Times are in milliseconds since the creation of the estimate, plus one; 0 means none.
#[derive(Default)]
pub(in crate::hsm) struct Slot {
    /// The start of its current job.
    busy_since: AtomicU64,
    in_flight: AtomicUsize,
    is_lost: AtomicBool,
}

impl Slot {
    /// Returns whether the session is lost: it hangs inside the HSM.
    pub(in crate::hsm) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// Marks the session as lost. Returns whether that is new.
    pub(in crate::hsm) fn mark_lost(&self) -> bool {
        !self.is_lost.swap(true, Ordering::AcqRel)
    }

    /// Notes the end of a job at `now`. The next job starts at that time.
    fn end_one(&self, now: u64) {
        let left = self.in_flight.fetch_sub(1, Ordering::AcqRel) - 1;
        let since = if left > 0 { now } else { 0 };
        self.busy_since.store(since, Ordering::Release);
    }
}

/// The current jobs of all sessions.
#[derive(Default)]
struct CurrentLoad {
    sessions: usize,
    in_flight: usize,
    /// The age of the oldest running job, rounded down to milliseconds.
    oldest: Duration,
}

/// The load of one HSM.
pub(in crate::hsm) struct LoadEstimate {
    began: Instant,
    slots: RwLock<Vec<Arc<Slot>>>,
    /// The mean service time of a job, in nanoseconds; 0 before the first job.
    service_time: AtomicU64,
    last_sample: AtomicU64,
}

impl LoadEstimate {
    pub(in crate::hsm) fn new() -> Self {
        Self {
            began: Instant::now(),
            slots: RwLock::default(),
            service_time: AtomicU64::new(0),
            last_sample: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    /// Adds a session.
    pub(in crate::hsm) fn add_slot(&self) -> Arc<Slot> {
        let slot = Arc::new(Slot::default());
        self.slots
            .write()
            .unwrap_or_else(poisoned)
            .push(Arc::clone(&slot));
        slot
    }

    /// Removes a session.
    pub(in crate::hsm) fn remove_slot(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots.write().unwrap_or_else(poisoned);
        slots.retain(|other| !Arc::ptr_eq(other, slot));
    }

    /// Notes that a job is sent to the session of `slot`.
    pub(in crate::hsm) fn begin(&self, slot: &Slot) {
        if slot.in_flight.fetch_add(1, Ordering::AcqRel) == 0 {
            slot.busy_since.store(self.now(), Ordering::Release);
        }
    }

    /// Notes that the session of `slot` has done a job in `worked`. If two sessions finish at once, one sample may be lost.
    pub(in crate::hsm) fn end(&self, slot: &Slot, worked: Duration) {
        slot.end_one(self.now());
        self.learn(worked);
    }

    /// Notes that a job of the session of `slot` failed. The duration is not a sample: errors are often fast, and a low mean would attract
    /// requests to an HSM that fails them.
    pub(in crate::hsm) fn end_failed(&self, slot: &Slot) {
        slot.end_one(self.now());
    }

    /// Adds a sample to the mean.
    pub(in crate::hsm) fn learn(&self, worked: Duration) {
        let sample = worked.min(LONGEST_SAMPLE).as_nanos() as u64;
        let mean = match self.mean() {
            0 => sample,
            mean => mean - mean / NEWEST_WEIGHT + sample / NEWEST_WEIGHT,
        };
        self.service_time.store(mean, Ordering::Relaxed);
        self.last_sample.store(self.now(), Ordering::Relaxed);
    }

    /// The mean service time in nanoseconds, halved for each second since the last job.
    pub(in crate::hsm) fn mean(&self) -> u64 {
        let quiet = self
            .now()
            .saturating_sub(self.last_sample.load(Ordering::Relaxed));
        let halvings = (quiet / HALF_LIFE_MS).min(63);
        self.service_time.load(Ordering::Relaxed) >> halvings
    }

    /// Estimates the duration of a job behind `ahead` others, from the mean service time.
    pub(in crate::hsm) fn expected_wait(&self, ahead: usize) -> Duration {
        let CurrentLoad {
            sessions,
            in_flight,
            ..
        } = self.current();
        let rounds = ((ahead + in_flight) / sessions.max(1) + 1) as u64;
        Duration::from_nanos(self.mean().saturating_mul(rounds))
    }

    /// The maximum of [`LoadEstimate::expected_wait`] and the age of the oldest running job. A running job that takes longer than expected
    /// indicates an HSM that hangs.
    pub(in crate::hsm) fn suspected_wait(&self, ahead: usize) -> Duration {
        self.expected_wait(ahead).max(self.current().oldest)
    }

    fn current(&self) -> CurrentLoad {
        let now = self.now();
        let mut current = CurrentLoad::default();
        let slots = self.slots.read().unwrap_or_else(poisoned);
        for slot in slots.iter().filter(|slot| !slot.is_lost()) {
            current.sessions += 1;
            let since = slot.busy_since.load(Ordering::Acquire);
            if since != 0 {
                current.in_flight += slot.in_flight.load(Ordering::Acquire);
                let age = now.saturating_sub(since).saturating_sub(1);
                current.oldest = current.oldest.max(Duration::from_millis(age));
            }
        }
        current
    }

    /// Returns whether the current job of the session is older than `patience`.
    pub(in crate::hsm) fn hangs(&self, slot: &Slot, patience: Duration) -> bool {
        let since = slot.busy_since.load(Ordering::Acquire);
        since != 0 && self.now().saturating_sub(since) as u128 > patience.as_millis()
    }

    /// The number of lost sessions that have not ended.
    pub(in crate::hsm) fn lost(&self) -> usize {
        let slots = self.slots.read().unwrap_or_else(poisoned);
        slots.iter().filter(|slot| slot.is_lost()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn the_wait_depends_on_sessions_jobs_and_service_time() {
        let load = LoadEstimate::new();
        assert_eq!(
            load.expected_wait(100),
            Duration::ZERO,
            "no job was done yet"
        );
        let slots = [load.add_slot(), load.add_slot()];
        load.begin(&slots[0]);
        load.end(&slots[0], 20 * MS);
        assert_eq!(load.expected_wait(0), 20 * MS);
        assert_eq!(load.expected_wait(2), 40 * MS);
        load.begin(&slots[0]);
        load.begin(&slots[1]);
        assert_eq!(load.expected_wait(0), 40 * MS, "both are busy");
    }

    #[tokio::test(start_paused = true)]
    async fn the_mean_changes_slowly_and_recovers_from_a_hanging_call() {
        let load = LoadEstimate::new();
        load.learn(MS);
        load.learn(Duration::from_secs(3_600));
        let after = load.expected_wait(0);
        assert!(after > 50 * MS && after < 100 * MS, "{after:?}");
        advance(Duration::from_secs(1)).await;
        assert_eq!(load.expected_wait(0), after / 2, "a second without a job");
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_failed_does_not_change_the_mean() {
        let load = LoadEstimate::new();
        let slot = load.add_slot();
        load.begin(&slot);
        load.end(&slot, 20 * MS);
        for _ in 0..100 {
            load.begin(&slot);
            load.end_failed(&slot);
        }
        assert_eq!(load.expected_wait(0), 20 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_session_is_detected_and_marked_as_lost_once() {
        let load = LoadEstimate::new();
        let slot = load.add_slot();
        load.begin(&slot);
        advance(5 * MS).await;
        assert!(
            load.suspected_wait(0) >= 4 * MS,
            "the age of the running job counts"
        );
        assert_eq!(
            load.expected_wait(0),
            Duration::ZERO,
            "the mean does not include running jobs"
        );
        assert!(load.hangs(&slot, MS));
        assert!(slot.mark_lost() && !slot.mark_lost());
        assert_eq!(load.lost(), 1);
        load.remove_slot(&slot);
        assert_eq!(load.lost(), 0);
    }
}
