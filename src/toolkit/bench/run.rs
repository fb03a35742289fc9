//! A whole run: check of the target, ciphertexts for Decrypt, the load or the steps of a ramp, and the report.

use std::future::Future;
use std::io;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::timeout;

use super::load::{Load, LoadResult, Snapshot};
use super::plan::{Plan, Shape};
use super::pool::{Answer, ConnectionPool, Wire};
use super::report::{FORMAT, Report, Step};
use super::search::{SHARE, next_rate};
use super::target::BenchTarget;
use super::work::Work;
use crate::build_info;
use crate::client::Caller;
use crate::xks::Operation;

/// The timeout of the requests before the load. They check that the target works, not how fast it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// The reason why nothing was measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// GetHealthStatus failed.
    #[error("the health request failed: {0}")]
    Unreachable(String),
    /// Encrypt failed.
    #[error("cannot create ciphertexts for Decrypt: {0}")]
    NothingToDecrypt(String),
    /// The system has no threads for the run.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// The operator pressed Ctrl-C.
    #[error("interrupted before the first step of the ramp was done")]
    Interrupted,
    /// A task of the load panicked.
    #[error("a task of the load ended unexpectedly")]
    Lost,
}

/// Runs a plan against a proxy until it is complete or the operator presses Ctrl-C.
///
/// # Errors
/// [`BenchError`]: nothing was measured.
pub fn run(
    target: BenchTarget,
    plan: Plan,
    on_snapshot: impl FnMut(&Snapshot),
) -> Result<Report, BenchError> {
    let runtime = tokio::runtime::Runtime::new().map_err(BenchError::Runtime)?;
    let Caller {
        host,
        address,
        path,
        ..
    } = &target.caller;
    let name = format!(
        "https://{host}:{}{path}, key {}",
        address.port(),
        target.key
    );
    let interrupted = async {
        // Without signal handling Ctrl-C is not available, and the run ends when it is complete.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let region = target.caller.signer.region().to_owned();
    let work = Work::new(&plan, &region);
    runtime.block_on(run_on(target, plan, work, name, interrupted, on_snapshot))
}

pub(super) async fn run_on<W: Wire>(
    wire: W,
    plan: Plan,
    mut work: Work,
    target: String,
    interrupted: impl Future<Output = ()>,
    mut on_snapshot: impl FnMut(&Snapshot),
) -> Result<Report, BenchError> {
    let pool = ConnectionPool::new(wire, plan.connections);
    prepare(&pool, &mut work).await?;
    let now = OffsetDateTime::from(SystemTime::now());
    let started_at = now.replace_nanosecond(0).unwrap_or(now);
    let header = Header {
        target,
        plan: plan.to_string(),
        started_at: started_at.format(&Rfc3339).unwrap_or_default(),
    };
    match plan.shape {
        Shape::Ramp(first) => {
            ramp(
                first,
                &plan,
                &header,
                pool,
                work,
                interrupted,
                &mut on_snapshot,
            )
            .await
        }
        _ => {
            let cpu = cpu_time();
            let result = Load::run(plan, pool, work, interrupted, &mut on_snapshot).await;
            let result = result.ok_or(BenchError::Lost)?;
            Ok(header.report(&result, cpu_time().saturating_sub(cpu)))
        }
    }
}

/// Checks the target, and creates the ciphertexts that Decrypt needs.
async fn prepare<W: Wire>(pool: &ConnectionPool<W>, work: &mut Work) -> Result<(), BenchError> {
    let health = pool.request(Operation::Health, work.health());
    in_time(health).await.map_err(BenchError::Unreachable)?;
    for size in work.sizes_to_encrypt() {
        let sealing = pool.request(Operation::Encrypt, work.encrypt_request(size));
        let answer = in_time(sealing)
            .await
            .map_err(BenchError::NothingToDecrypt)?;
        let taken = work.store_ciphertext(size, answer.body.expose());
        taken.map_err(|fault| BenchError::NothingToDecrypt(fault.to_owned()))?;
    }
    Ok(())
}

async fn in_time(answer: impl Future<Output = Result<Answer, String>>) -> Result<Answer, String> {
    let outcome = timeout(PATIENCE, answer).await;
    outcome.unwrap_or_else(|_| Err("no answer within 10 s".to_owned()))
}

/// Runs one rate after another. Reports the best sustained rate, or else the lowest rate.
async fn ramp<W: Wire>(
    first: f64,
    plan: &Plan,
    header: &Header,
    mut pool: ConnectionPool<W>,
    mut work: Work,
    interrupted: impl Future<Output = ()>,
    on_snapshot: &mut impl FnMut(&Snapshot),
) -> Result<Report, BenchError> {
    let mut interrupted = std::pin::pin!(interrupted);
    let (mut steps, mut best): (Vec<Step>, Option<Report>) = (Vec::new(), None);
    while let Some(rate) = next_rate(first, &steps) {
        let cpu = cpu_time();
        let load = Load::run(plan.at(rate), pool, work, interrupted.as_mut(), on_snapshot);
        let result = load.await.ok_or(BenchError::Lost)?;
        if result.was_interrupted {
            // An interrupted step is not meaningful.
            break;
        }
        let report = header.report(&result, cpu_time().saturating_sub(cpu));
        let step = step(rate, &report);
        if is_better(&step, &steps, best.as_ref()) {
            best = Some(report);
        }
        steps.push(step);
        (pool, work) = (result.pool, result.work);
    }
    let mut report = best.ok_or(BenchError::Interrupted)?;
    report.steps = steps;
    Ok(report)
}

fn step(rate: f64, report: &Report) -> Step {
    let within_patience = report.total.share_within_timeout();
    Step {
        rate,
        within_patience,
        p99_us: report.total.p99_us,
        held: within_patience >= SHARE,
    }
}

/// Returns whether a step is better: a higher sustained rate, or a lower rate as long as no rate was sustained.
fn is_better(step: &Step, before: &[Step], best: Option<&Report>) -> bool {
    let held = before.iter().filter(|step| step.held);
    let best_rate = held.map(|step| step.rate).fold(0.0, f64::max);
    let none_held = best_rate == 0.0;
    best.is_none() || (step.held && step.rate > best_rate) || (none_held && !step.held)
}

/// The fields that all reports of a run share.
struct Header {
    target: String,
    plan: String,
    started_at: String,
}

impl Header {
    fn report<W: Wire>(&self, result: &LoadResult<W>, cpu: Duration) -> Report {
        let LoadResult {
            recording,
            began_for,
            ..
        } = result;
        Report {
            format: FORMAT,
            made_by: format!("xks-proxy {}", build_info::VERSION),
            started_at: self.started_at.clone(),
            target: self.target.clone(),
            plan: self.plan.clone(),
            seconds: began_for.as_secs_f64(),
            total: recording.total(*began_for),
            operations: recording.operations(*began_for),
            failures: recording.failures(),
            timeline: recording.timeline(*began_for),
            connections: recording.connections(),
            verified: recording.verified(),
            generator: recording.generator(cpu),
            steps: Vec::new(),
        }
    }
}

/// Returns the CPU time of this process so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
