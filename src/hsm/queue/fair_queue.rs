//! A weighted fair queue: many jobs of one tenant do not delay the jobs of other tenants.
//!
//! Each tenant with waiting jobs has a FIFO queue. The queues are served round-robin. In each round, a tenant gets as many jobs as its
//! weight. With one tenant this is a FIFO queue.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ekm::Tenant;

/// The weight of the newest sample in the mean number of overtaking jobs is 1 / 32. A larger weight would make the mean too unstable.
const OVERTAKING_WEIGHT: f64 = 32.0;

/// A job that can wait in the queue.
pub(in crate::hsm) trait Waiting {
    /// The tenant of the job.
    fn tenant(&self) -> &Arc<Tenant>;

    /// Returns whether no caller waits for it any more.
    fn is_abandoned(&self) -> bool;
}

/// The jobs of one tenant.
struct Line<J> {
    tenant: Arc<Tenant>,
    jobs: VecDeque<J>,
    /// The number of jobs that are left in this turn.
    left: u32,
    /// [`FairQueue::taken`] when this queue was created or its last job was taken.
    last_taken: u64,
    /// The mean number of jobs of other tenants that are taken before a job of this tenant.
    overtaking: f64,
}

/// The queues of all tenants with waiting jobs. The next job is taken from the first one.
pub(in crate::hsm) struct FairQueue<J> {
    lines: VecDeque<Line<J>>,
    jobs: usize,
    /// The number of jobs taken so far.
    taken: u64,
}

impl<J: Waiting> FairQueue<J> {
    pub(in crate::hsm) fn new() -> Self {
        Self {
            lines: VecDeque::new(),
            jobs: 0,
            taken: 0,
        }
    }

    /// The number of waiting jobs.
    pub(in crate::hsm) fn len(&self) -> usize {
        self.jobs
    }

    /// The number of waiting jobs of this tenant.
    pub(in crate::hsm) fn len_of(&self, tenant: &Tenant) -> usize {
        self.line(tenant).map_or(0, |line| line.jobs.len())
    }

    /// The number of tenants with waiting jobs, including `tenant`.
    pub(in crate::hsm) fn tenants_with(&self, tenant: &Tenant) -> usize {
        self.lines.len() + usize::from(self.line(tenant).is_none())
    }

    /// Estimates the number of jobs that are taken before a new job of this tenant. The estimate counts the waiting jobs of other tenants
    /// that are taken earlier. Later jobs of other tenants may also overtake a long queue, so the estimate is at least the recent mean.
    pub(in crate::hsm) fn ahead_of_new(&self, tenant: &Tenant) -> usize {
        let own = self.len_of(tenant);
        let queue = own / share(tenant) + 1;
        let others = self.lines.iter().filter(|line| !is(&line.tenant, tenant));
        let before = others.map(|line| line.jobs.len().min(queue * share(&line.tenant)));
        let overtaking = self.line(tenant).map_or(0, |line| line.overtaking(own + 1));
        own + before.sum::<usize>().max(overtaking)
    }

    /// Drops abandoned jobs at the front of this tenant's queue.
    pub(in crate::hsm) fn drop_abandoned(&mut self, tenant: &Tenant) {
        let Some(at) = self.lines.iter().position(|line| is(&line.tenant, tenant)) else {
            return;
        };
        let Some(line) = self.lines.get_mut(at) else {
            return;
        };
        while line.jobs.front().is_some_and(Waiting::is_abandoned) {
            line.jobs.pop_front();
            self.jobs -= 1;
        }
        if line.jobs.is_empty() {
            self.lines.remove(at);
        }
    }

    /// Appends a job to the queue of its tenant.
    pub(in crate::hsm) fn push(&mut self, job: J) {
        self.jobs += 1;
        match self.line_mut(job.tenant()) {
            Some(line) => line.jobs.push_back(job),
            None => self.lines.push_back(Line::new(job, self.taken)),
        }
    }

    /// Inserts a job before all others.
    pub(in crate::hsm) fn push_front(&mut self, job: J) {
        self.jobs += 1;
        let at = self
            .lines
            .iter()
            .position(|line| is(&line.tenant, job.tenant()));
        match at.and_then(|at| self.lines.remove(at)) {
            Some(mut line) => {
                line.left += 1;
                line.jobs.push_front(job);
                self.lines.push_front(line);
            }
            None => self.lines.push_front(Line::new(job, self.taken)),
        }
    }

    /// Removes and returns the next job.
    pub(in crate::hsm) fn pop(&mut self) -> Option<J> {
        let mut line = self.lines.pop_front()?;
        let job = line.jobs.pop_front();
        self.jobs -= usize::from(job.is_some());
        line.learn(self.taken);
        self.taken += 1;
        line.left = line.left.saturating_sub(1);
        match (line.jobs.is_empty(), line.left) {
            (true, _) => {}
            (false, 0) => {
                line.left = line.tenant.share.max(1);
                self.lines.push_back(line);
            }
            (false, _) => self.lines.push_front(line),
        }
        job
    }

    /// Removes and returns all jobs, in no particular order.
    pub(in crate::hsm) fn drain(&mut self) -> Vec<J> {
        self.jobs = 0;
        self.lines.drain(..).flat_map(|line| line.jobs).collect()
    }

    fn line(&self, tenant: &Tenant) -> Option<&Line<J>> {
        self.lines.iter().find(|line| is(&line.tenant, tenant))
    }

    fn line_mut(&mut self, tenant: &Tenant) -> Option<&mut Line<J>> {
        self.lines.iter_mut().find(|line| is(&line.tenant, tenant))
    }
}

impl<J: Waiting> Line<J> {
    fn new(job: J, taken: u64) -> Self {
        let tenant = Arc::clone(job.tenant());
        Self {
            left: tenant.share.max(1),
            tenant,
            jobs: VecDeque::from([job]),
            last_taken: taken,
            overtaking: 0.0,
        }
    }

    /// Updates the mean when a job of this queue is taken. `taken` is the number of jobs taken before.
    fn learn(&mut self, taken: u64) {
        let overtook = taken.saturating_sub(self.last_taken);
        self.overtaking += (overtook as f64 - self.overtaking) / OVERTAKING_WEIGHT;
        self.last_taken = taken + 1;
    }

    /// The expected number of jobs of other tenants that are taken before `own` jobs of this tenant.
    fn overtaking(&self, own: usize) -> usize {
        (self.overtaking * own as f64).round() as usize
    }
}

/// Compares tenants by name, because a reload creates new values for the same tenants.
fn is(one: &Tenant, other: &Tenant) -> bool {
    std::ptr::eq(one, other) || one.name == other.name
}

fn share(tenant: &Tenant) -> usize {
    tenant.share.max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbered(Arc<Tenant>, u32);

    impl Waiting for Numbered {
        fn tenant(&self) -> &Arc<Tenant> {
            &self.0
        }

        fn is_abandoned(&self) -> bool {
            self.1 == 0
        }
    }

    fn tenant(name: &str, share: u32) -> Arc<Tenant> {
        let name = name.into();
        Arc::new(Tenant { name, share })
    }

    fn order(queue: &mut FairQueue<Numbered>) -> String {
        std::iter::from_fn(|| queue.pop())
            .map(|Numbered(tenant, number)| format!("{}{number} ", tenant.name))
            .collect()
    }

    fn filled(jobs: &[(&Arc<Tenant>, u32)]) -> FairQueue<Numbered> {
        let mut queue = FairQueue::new();
        for (tenant, number) in jobs {
            queue.push(Numbered(Arc::clone(tenant), *number));
        }
        queue
    }

    #[test]
    fn tenants_take_queue_by_their_weights() {
        let (a, b) = (tenant("a", 1), tenant("b", 2));
        let jobs = [(&a, 1), (&a, 2), (&a, 3), (&b, 1), (&b, 2), (&b, 3)];
        assert_eq!(order(&mut filled(&jobs)), "a1 b1 b2 a2 b3 a3 ");
        let mut one = filled(&[(&a, 1), (&a, 2), (&a, 3)]);
        assert_eq!(order(&mut one), "a1 a2 a3 ");
        assert_eq!(one.len(), 0);
    }

    #[test]
    fn jobs_of_the_tenant_and_one_turn_of_the_others_are_ahead_of_a_new_job() {
        let (a, b, c) = (tenant("a", 1), tenant("b", 1), tenant("c", 3));
        let queue = filled(&[(&a, 1), (&a, 2), (&a, 3), (&a, 4), (&b, 1)]);
        assert_eq!(queue.ahead_of_new(&a), 4 + 1);
        assert_eq!(queue.ahead_of_new(&b), 1 + 2);
        assert_eq!(queue.ahead_of_new(&c), 1 + 1);
        assert_eq!((queue.tenants_with(&a), queue.tenants_with(&c)), (2, 3));
        let again = tenant("a", 1);
        assert_eq!(queue.len_of(&again), 4, "the same by name");
    }

    #[test]
    fn the_estimate_includes_tenants_that_overtake_all_the_time() {
        let (a, b) = (tenant("a", 1), tenant("b", 1));
        let mut queue = filled(&[(&a, 1); 10]);
        for _ in 0..200 {
            assert_eq!(queue.len(), 10);
            queue.push(Numbered(Arc::clone(&b), 1));
            queue.push(Numbered(Arc::clone(&a), 1));
            let taken = [queue.pop().unwrap(), queue.pop().unwrap()];
            assert!(
                taken
                    .iter()
                    .any(|Numbered(tenant, _)| tenant.name == b.name)
            );
        }
        let ahead = queue.ahead_of_new(&a);
        assert!((19..=21).contains(&ahead), "10 jobs of b overtake: {ahead}");
        for _ in 0..200 {
            queue.push(Numbered(Arc::clone(&a), 1));
            queue.pop().unwrap();
        }
        assert_eq!(queue.ahead_of_new(&a), 10, "b has no more jobs");
    }

    #[test]
    fn a_job_that_is_put_back_is_the_next_one() {
        let (a, b) = (tenant("a", 1), tenant("b", 1));
        let mut queue = filled(&[(&a, 1), (&a, 2), (&b, 1)]);
        queue.push_front(Numbered(Arc::clone(&b), 9));
        assert_eq!(order(&mut queue), "b9 b1 a1 a2 ");
    }

    #[test]
    fn abandoned_jobs_of_a_tenant_are_dropped() {
        let (a, b) = (tenant("a", 1), tenant("b", 1));
        let mut queue = filled(&[(&a, 0), (&a, 0), (&a, 5), (&b, 0)]);
        queue.drop_abandoned(&a);
        assert_eq!((queue.len(), queue.len_of(&a)), (2, 1));
        queue.drop_abandoned(&b);
        assert_eq!((queue.len(), queue.tenants_with(&a)), (1, 1));
        assert_eq!(queue.drain().len(), 1);
        assert_eq!(queue.len(), 0);
    }
}
