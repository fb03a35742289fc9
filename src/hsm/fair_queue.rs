//! Jobs of several tenants, taken in turn: who asks for much waits longer, and the others do not notice.
//!
//! Each tenant with waiting jobs has a line of its own. The lines are served round-robin, as many jobs of each at a time as the tenant's
//! share says. With one tenant this is a first-in, first-out queue.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ekm::Tenant;

/// How slowly the mean of the jobs that overtake follows: the newest weighs 1 / 32. Faster, and chance would move it too much.
const OVERTAKING_WEIGHT: f64 = 32.0;

/// What waits on somebody's behalf.
pub(super) trait Waiting {
    /// For whom.
    fn tenant(&self) -> &Arc<Tenant>;

    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
}

/// The jobs of one tenant.
struct Line<J> {
    tenant: Arc<Tenant>,
    jobs: VecDeque<J>,
    /// How many more are taken before it is the next tenant's turn.
    left: u32,
    /// [`FairQueue::taken`] when the line began or its last job was taken.
    last_taken: u64,
    /// How many jobs of others are taken before one of these, in the mean.
    overtaking: f64,
}

/// The lines, the one whose turn it is first. None is empty.
pub(super) struct FairQueue<J> {
    lines: VecDeque<Line<J>>,
    jobs: usize,
    /// Jobs taken since the beginning.
    taken: u64,
}

impl<J: Waiting> FairQueue<J> {
    pub(super) fn new() -> Self {
        Self {
            lines: VecDeque::new(),
            jobs: 0,
            taken: 0,
        }
    }

    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        self.jobs
    }

    /// How many jobs of this tenant wait.
    pub(super) fn len_of(&self, tenant: &Tenant) -> usize {
        self.line(tenant).map_or(0, |line| line.jobs.len())
    }

    /// How many tenants have jobs that wait, `tenant` counted in.
    pub(super) fn tenants_with(&self, tenant: &Tenant) -> usize {
        self.lines.len() + usize::from(self.line(tenant).is_none())
    }

    /// How many jobs would be done before a new one of this tenant. Of others, those that wait and have their turn before it; but who
    /// comes later and waits for little overtakes a long line, so it is at least as many as have overtaken it of late.
    pub(super) fn ahead_of_new(&self, tenant: &Tenant) -> usize {
        let own = self.len_of(tenant);
        let turns = own / share(tenant) + 1;
        let others = self.lines.iter().filter(|line| !is(&line.tenant, tenant));
        let before = others.map(|line| line.jobs.len().min(turns * share(&line.tenant)));
        let overtaking = self.line(tenant).map_or(0, |line| line.overtaking(own + 1));
        own + before.sum::<usize>().max(overtaking)
    }

    /// Drops the jobs of this tenant that nobody waits for and that are its next ones.
    pub(super) fn drop_abandoned(&mut self, tenant: &Tenant) {
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

    /// Puts a job at the end of its tenant's line.
    pub(super) fn push(&mut self, job: J) {
        self.jobs += 1;
        match self.line_mut(job.tenant()) {
            Some(line) => line.jobs.push_back(job),
            None => self.lines.push_back(Line::of(job, self.taken)),
        }
    }

    /// Puts a job before all others.
    pub(super) fn push_front(&mut self, job: J) {
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
            None => self.lines.push_front(Line::of(job, self.taken)),
        }
    }

    /// The next job.
    pub(super) fn pop(&mut self) -> Option<J> {
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

    /// Every job, in no particular order.
    pub(super) fn drain(&mut self) -> Vec<J> {
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
    fn of(job: J, taken: u64) -> Self {
        let tenant = Arc::clone(job.tenant());
        Self {
            left: tenant.share.max(1),
            tenant,
            jobs: VecDeque::from([job]),
            last_taken: taken,
            overtaking: 0.0,
        }
    }

    /// One of its jobs is taken, after `taken` of all.
    fn learn(&mut self, taken: u64) {
        let overtook = taken.saturating_sub(self.last_taken);
        self.overtaking += (overtook as f64 - self.overtaking) / OVERTAKING_WEIGHT;
        self.last_taken = taken + 1;
    }

    /// How many jobs of others will be taken before so many of its own, if they come as they came before.
    fn overtaking(&self, own: usize) -> usize {
        (self.overtaking * own as f64).round() as usize
    }
}

/// By name: a new configuration makes the same tenant anew.
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

    fn order(turns: &mut FairQueue<Numbered>) -> String {
        std::iter::from_fn(|| turns.pop())
            .map(|Numbered(tenant, number)| format!("{}{number} ", tenant.name))
            .collect()
    }

    fn filled(jobs: &[(&Arc<Tenant>, u32)]) -> FairQueue<Numbered> {
        let mut turns = FairQueue::new();
        for (tenant, number) in jobs {
            turns.push(Numbered(Arc::clone(tenant), *number));
        }
        turns
    }

    #[test]
    fn tenants_take_turns_by_their_shares() {
        let (a, b) = (tenant("a", 1), tenant("b", 2));
        let jobs = [(&a, 1), (&a, 2), (&a, 3), (&b, 1), (&b, 2), (&b, 3)];
        assert_eq!(order(&mut filled(&jobs)), "a1 b1 b2 a2 b3 a3 ");
        let mut one = filled(&[(&a, 1), (&a, 2), (&a, 3)]);
        assert_eq!(order(&mut one), "a1 a2 a3 ");
        assert_eq!(one.len(), 0);
    }

    #[test]
    fn a_new_job_has_its_own_and_a_turn_of_the_others_ahead_of_it() {
        let (a, b, c) = (tenant("a", 1), tenant("b", 1), tenant("c", 3));
        let turns = filled(&[(&a, 1), (&a, 2), (&a, 3), (&a, 4), (&b, 1)]);
        assert_eq!(turns.ahead_of_new(&a), 4 + 1);
        assert_eq!(turns.ahead_of_new(&b), 1 + 2);
        assert_eq!(turns.ahead_of_new(&c), 1 + 1);
        assert_eq!((turns.tenants_with(&a), turns.tenants_with(&c)), (2, 3));
        let again = tenant("a", 1);
        assert_eq!(turns.len_of(&again), 4, "the same by name");
    }

    #[test]
    fn who_overtakes_all_the_time_is_reckoned_with() {
        let (a, b) = (tenant("a", 1), tenant("b", 1));
        let mut turns = filled(&[(&a, 1); 10]);
        for _ in 0..200 {
            assert_eq!(turns.len(), 10);
            turns.push(Numbered(Arc::clone(&b), 1));
            turns.push(Numbered(Arc::clone(&a), 1));
            let taken = [turns.pop().unwrap(), turns.pop().unwrap()];
            assert!(
                taken
                    .iter()
                    .any(|Numbered(tenant, _)| tenant.name == b.name)
            );
        }
        let ahead = turns.ahead_of_new(&a);
        assert!((19..=21).contains(&ahead), "10 of b will come: {ahead}");
        for _ in 0..200 {
            turns.push(Numbered(Arc::clone(&a), 1));
            turns.pop().unwrap();
        }
        assert_eq!(turns.ahead_of_new(&a), 10, "b has gone");
    }

    #[test]
    fn a_job_that_comes_back_is_the_next_one() {
        let (a, b) = (tenant("a", 1), tenant("b", 1));
        let mut turns = filled(&[(&a, 1), (&a, 2), (&b, 1)]);
        turns.push_front(Numbered(Arc::clone(&b), 9));
        assert_eq!(order(&mut turns), "b9 b1 a1 a2 ");
    }

    #[test]
    fn abandoned_jobs_of_a_tenant_go() {
        let (a, b) = (tenant("a", 1), tenant("b", 1));
        let mut turns = filled(&[(&a, 0), (&a, 0), (&a, 5), (&b, 0)]);
        turns.drop_abandoned(&a);
        assert_eq!((turns.len(), turns.len_of(&a)), (2, 1));
        turns.drop_abandoned(&b);
        assert_eq!((turns.len(), turns.tenants_with(&a)), (1, 1));
        assert_eq!(turns.drain().len(), 1);
        assert_eq!(turns.len(), 0);
    }
}
