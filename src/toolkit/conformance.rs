//! Checks an XKS proxy over the network: every testable MUST and SHOULD of the specification, as cases per section.
//!
//! # Invariants
//! - A case without a required option is skipped, with the reason. It never counts as passed.
//! - Every error response must have the whole form of section 6, not only its status.
//! - The credential signs requests, and is in no report.

mod body;
mod case;
mod cases;
mod check;
mod fault;
mod report;
mod scene;
mod target;
pub mod wire;

pub use case::{Case, Outcome, Severity, Verdict};
pub use cases::{UNTESTABLE, Untestable, all};
pub use report::{json, junit, list, table};
pub use scene::Exchange;
pub use target::{ClientAuth, Keys, Target};

/// Runs these cases against `target`, in order, and reports each result when it is available.
pub fn judge(target: &Target, cases: &[Case], mut tell: impl FnMut(&Verdict)) -> Vec<Verdict> {
    let mut verdicts = Vec::with_capacity(cases.len());
    for case in cases {
        let verdict = case.judge(target);
        tell(&verdict);
        verdicts.push(verdict);
    }
    verdicts
}

/// Returns whether a MUST failed.
pub fn failed(verdicts: &[Verdict]) -> bool {
    let failed =
        |v: &Verdict| v.severity == Severity::Must && matches!(v.outcome, Outcome::Failed(_));
    verdicts.iter().any(failed)
}
