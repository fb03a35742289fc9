//! How busy a device is, and how long a job would take: from what its owners are doing now and how long they took before.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

// The monotonic clock of std, which a test can stop and move.
use tokio::time::Instant;

use crate::sync::poisoned;

/// The weight of the newest job in the mean service time: 1 / 16.
const NEWEST_WEIGHT: u64 = 16;

/// One hung call must not weigh on the mean for long.
const LONGEST_SAMPLE: Duration = Duration::from_secs(1);

/// The mean halves in so long without a job: a device that was slow is tried again now and then.
const HALF_LIFE_MS: u64 = 1_000;

/// One owner thread, as others see it. Times are in milliseconds since the load began, plus one; 0 is "not".
#[derive(Default)]
pub(super) struct Slot {
    busy_since: AtomicU64,
    is_lost: AtomicBool,
}

impl Slot {
    /// Whether the owner was given up: it hangs inside the device.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// Gives the owner up; says whether that is new.
    pub(super) fn give_up(&self) -> bool {
        !self.is_lost.swap(true, Ordering::AcqRel)
    }
}

/// What the owners are doing.
#[derive(Default)]
struct Crowd {
    owners: usize,
    busy: usize,
    /// How long the longest call has been running, to the millisecond below.
    oldest: Duration,
}

/// The load of one device.
pub(super) struct Load {
    began: Instant,
    slots: RwLock<Vec<Arc<Slot>>>,
    /// The mean time that the device works on a job, in nanoseconds; 0 before the first.
    service_time: AtomicU64,
    last_sample: AtomicU64,
}

impl Load {
    pub(super) fn new() -> Self {
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

    /// A new owner.
    pub(super) fn add_slot(&self) -> Arc<Slot> {
        let slot = Arc::new(Slot::default());
        self.slots
            .write()
            .unwrap_or_else(poisoned)
            .push(Arc::clone(&slot));
        slot
    }

    /// An owner ends.
    pub(super) fn remove_slot(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots.write().unwrap_or_else(poisoned);
        slots.retain(|other| !Arc::ptr_eq(other, slot));
    }

    /// The owner of `slot` goes into the device.
    pub(super) fn begin(&self, slot: &Slot) {
        slot.busy_since.store(self.now(), Ordering::Release);
    }

    /// The owner of `slot` is back from a job that it did in `worked`. Two owners at once may lose one of their samples: it is a mean.
    pub(super) fn end(&self, slot: &Slot, worked: Duration) {
        slot.busy_since.store(0, Ordering::Release);
        self.learn(worked);
    }

    /// The owner of `slot` is back from a job that failed, or from something that was no job. Errors say nothing about the time that a job
    /// takes: many are quick, and would attract traffic to an HSM that cannot do it.
    pub(super) fn rest(&self, slot: &Slot) {
        slot.busy_since.store(0, Ordering::Release);
    }

    /// Takes a call's duration into the mean.
    pub(super) fn learn(&self, worked: Duration) {
        let sample = worked.min(LONGEST_SAMPLE).as_nanos() as u64;
        let mean = match self.mean() {
            0 => sample,
            mean => mean - mean / NEWEST_WEIGHT + sample / NEWEST_WEIGHT,
        };
        self.service_time.store(mean, Ordering::Relaxed);
        self.last_sample.store(self.now(), Ordering::Relaxed);
    }

    /// The mean service time in nanoseconds, halved for every second since the last job.
    fn mean(&self) -> u64 {
        let quiet = self
            .now()
            .saturating_sub(self.last_sample.load(Ordering::Relaxed));
        let halvings = (quiet / HALF_LIFE_MS).min(63);
        self.service_time.load(Ordering::Relaxed) >> halvings
    }

    /// How long a job behind `ahead` others will take to be done, as far as the past can tell.
    pub(super) fn expected_wait(&self, ahead: usize) -> Duration {
        let Crowd { owners, busy, .. } = self.crowd();
        let rounds = ((ahead + busy) / owners.max(1) + 1) as u64;
        Duration::from_nanos(self.mean().saturating_mul(rounds))
    }

    /// What [`Load::expected_wait`] says, or what the longest call that is running now says: one that takes longer than the
    /// past would have it tells of a device that hangs.
    pub(super) fn suspected_wait(&self, ahead: usize) -> Duration {
        self.expected_wait(ahead).max(self.crowd().oldest)
    }

    fn crowd(&self) -> Crowd {
        let now = self.now();
        let mut crowd = Crowd::default();
        let slots = self.slots.read().unwrap_or_else(poisoned);
        for slot in slots.iter().filter(|slot| !slot.is_lost()) {
            crowd.owners += 1;
            let since = slot.busy_since.load(Ordering::Acquire);
            if since != 0 {
                crowd.busy += 1;
                let age = now.saturating_sub(since).saturating_sub(1);
                crowd.oldest = crowd.oldest.max(Duration::from_millis(age));
            }
        }
        crowd
    }

    /// The owners that have been inside the device for longer than `patience` and were not given up yet.
    pub(super) fn hanging(&self, patience: Duration) -> Vec<Arc<Slot>> {
        let now = self.now();
        let slots = self.slots.read().unwrap_or_else(poisoned);
        let hangs = |slot: &&Arc<Slot>| {
            let since = slot.busy_since.load(Ordering::Acquire);
            since != 0
                && !slot.is_lost()
                && now.saturating_sub(since) as u128 > patience.as_millis()
        };
        slots.iter().filter(hangs).cloned().collect()
    }

    /// How many owners were given up and have not come back.
    pub(super) fn lost(&self) -> usize {
        let slots = self.slots.read().unwrap_or_else(poisoned);
        slots.iter().filter(|slot| slot.is_lost()).count()
    }

    /// How many owners there are.
    pub(super) fn owners(&self) -> usize {
        self.slots.read().unwrap_or_else(poisoned).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn the_wait_follows_owners_jobs_and_service_time() {
        let load = Load::new();
        assert_eq!(
            load.expected_wait(100),
            Duration::ZERO,
            "nothing is known yet"
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
    async fn the_mean_follows_slowly_and_one_hang_does_not_weigh_long() {
        let load = Load::new();
        load.learn(MS);
        load.learn(Duration::from_secs(3_600));
        let after = load.expected_wait(0);
        assert!(after > 50 * MS && after < 100 * MS, "{after:?}");
        advance(Duration::from_secs(1)).await;
        assert_eq!(load.expected_wait(0), after / 2, "a second without a job");
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_failed_does_not_change_the_mean() {
        let load = Load::new();
        let slot = load.add_slot();
        load.begin(&slot);
        load.end(&slot, 20 * MS);
        for _ in 0..100 {
            load.begin(&slot);
            load.rest(&slot);
        }
        assert_eq!(load.expected_wait(0), 20 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_hangs_is_found_given_up_once_and_counted() {
        let load = Load::new();
        let slot = load.add_slot();
        load.begin(&slot);
        advance(5 * MS).await;
        assert!(
            load.suspected_wait(0) >= 4 * MS,
            "a call that takes long says so"
        );
        assert_eq!(
            load.expected_wait(0),
            Duration::ZERO,
            "the past knows nothing of it"
        );
        assert_eq!(load.hanging(MS).len(), 1);
        assert!(slot.give_up() && !slot.give_up());
        assert_eq!(
            (load.hanging(MS).len(), load.lost(), load.owners()),
            (0, 1, 1)
        );
        load.remove_slot(&slot);
        assert_eq!((load.lost(), load.owners()), (0, 0));
    }
}
