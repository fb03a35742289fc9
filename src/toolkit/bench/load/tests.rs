//! The two loops against simulated targets.

use std::future::pending;

use tokio::sync::Notify;

use super::super::pool::Answer;
use super::super::run::{BenchError, run_on};
use super::*;
use crate::secret::SecretBytes;
use crate::xks::Operation;

/// Responds at once, except during a stall between two times after its creation.
struct Stalling {
    made: Instant,
    from: Duration,
    to: Duration,
    /// Notified at each call.
    called: Arc<Notify>,
}

impl Stalling {
    /// Creates a target that never stalls.
    fn never() -> Self {
        Self::between(Duration::ZERO, Duration::ZERO)
    }

    fn between(from: Duration, to: Duration) -> Self {
        Self {
            made: Instant::now(),
            from,
            to,
            called: Arc::default(),
        }
    }
}

impl Wire for Stalling {
    type Connection = ();

    async fn connect(&self) -> Result<(), String> {
        Ok(())
    }

    async fn call(&self, (): &mut (), _: Operation, _: Vec<u8>) -> Result<Answer, String> {
        self.called.notify_one();
        let now = self.made.elapsed();
        if now >= self.from && now < self.to {
            tokio::time::sleep_until((self.made + self.to).into()).await;
        }
        let body = SecretBytes::new(b"{}".to_vec());
        Ok(Answer { status: 200, body })
    }

    fn is_open((): &()) -> bool {
        true
    }
}

fn plan(shape: Shape, timeout: Duration) -> Plan {
    Plan {
        shape,
        duration: Duration::from_millis(1_500),
        connections: 2,
        timeout,
        mix: "health".parse().unwrap(),
        sizes: "0".parse().unwrap(),
        aad: 0,
        integrity: false,
        new_connections: 0.0,
        verify_every: 0,
    }
}

/// Runs a load with a stall of half a second in the middle.
async fn through_a_stall(shape: Shape, timeout: Duration) -> Recording {
    let wire = Stalling::between(Duration::from_millis(500), Duration::from_millis(1_000));
    let plan = plan(shape, timeout);
    let (pool, work) = (
        ConnectionPool::new(wire, plan.connections),
        Work::new(&plan, "eu-west-1"),
    );
    let result = Load::run(plan, pool, work, pending(), &mut |_| {}).await;
    result.unwrap().recording
}

fn slower_than(bound: Duration, total: &Figures) -> u64 {
    let slow = |(us, _): &&(u64, u64)| u128::from(*us) > bound.as_micros();
    let slow = total.distribution.iter().filter(slow);
    slow.map(|(_, count)| count).sum()
}

const OVER: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_shows_in_every_request_that_was_due_in_it() {
    let patient = Duration::from_secs(30);
    let recording = through_a_stall(Shape::Open(200.0), patient).await;
    let total = recording.total(OVER);
    assert_eq!(total.requests, 300, "every intended request is recorded");
    // 100 requests were due during the stall and waited 250 ms on average. A closed loop would have shown only 2 slow ones.
    let slow = slower_than(Duration::from_millis(100), &total);
    assert!(slow >= 60, "only {slow} of 300 were slow");
    assert!(total.max_us >= 400_000, "{}", total.max_us);
    assert_eq!(total.failed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_takes_longer_than_the_timeout() {
    let recording = through_a_stall(Shape::Open(200.0), Duration::from_millis(100)).await;
    let total = recording.total(OVER);
    assert_eq!(total.requests, 300);
    assert!(total.failed >= 40, "{}", total.failed);
    assert_eq!(recording.failures().get("timeout"), Some(&total.failed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_loop_has_one_request_per_connection() {
    let recording = through_a_stall(Shape::Closed, Duration::from_secs(30)).await;
    let total = recording.total(OVER);
    // The two requests that met the stall took 500 ms. On a busy machine other requests may be slow too, but by less.
    let slow = slower_than(Duration::from_millis(400), &total);
    assert!(
        total.requests > 100 && slow <= 4,
        "{} {slow}",
        total.requests
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_ends_soon() {
    let wire = Stalling::never();
    let called = Arc::clone(&wire.called);
    let mut plan = plan(Shape::Open(50.0), Duration::from_secs(1));
    plan.duration = Duration::from_secs(3_600);
    let (pool, work) = (ConnectionPool::new(wire, 2), Work::new(&plan, "eu-west-1"));
    let result = Load::run(plan, pool, work, called.notified(), &mut |_| {})
        .await
        .unwrap();
    assert!(
        result.was_interrupted
            && result.began_for < Duration::from_secs(30)
            && result.recording.requests() > 0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ramp_interrupted_in_its_first_step_has_no_result() {
    let seen = Notify::new();
    let mut ramp = plan(Shape::Ramp(50.0), Duration::from_secs(1));
    ramp.duration = Duration::from_secs(3_600);
    let work = Work::new(&ramp, "eu-west-1");
    let outcome = run_on(
        Stalling::never(),
        ramp,
        work,
        String::new(),
        seen.notified(),
        |_| {
            seen.notify_one();
        },
    );
    let outcome = outcome.await.unwrap_err();
    assert!(matches!(outcome, BenchError::Interrupted), "{outcome}");
}
