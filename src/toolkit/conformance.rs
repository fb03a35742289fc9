//! Checks an XKS proxy over the network: every testable MUST and SHOULD of the specification, as cases per section.
//!
//! # Invariants
//! - A case without a required option is skipped, with the reason. It never counts as passed.
//! - Every error response must have the whole form of section 6, not only its status.
//! - The credential signs requests, and is in no report.

mod body;
mod case;
mod case_error;
mod cases;
mod check;
mod context;
mod report;
mod target;
pub mod wire;

pub use case::{Case, CaseResult, Outcome, Severity};
pub use cases::{UNTESTABLE, Untestable, all};
pub use context::Exchange;
pub use report::{json, junit, list, table};
pub use target::{ClientAuth, Keys, Target};

/// Runs these cases against `target`, in order, and reports each result when it is available.
pub fn run(
    target: &Target,
    cases: &[Case],
    mut on_result: impl FnMut(&CaseResult),
) -> Vec<CaseResult> {
    let mut results = Vec::with_capacity(cases.len());
    for case in cases {
        let result = case.run(target);
        on_result(&result);
        results.push(result);
    }
    results
}

/// Returns whether a MUST failed.
pub fn failed(results: &[CaseResult]) -> bool {
    let failed =
        |v: &CaseResult| v.severity == Severity::Must && matches!(v.outcome, Outcome::Failed(_));
    results.iter().any(failed)
}
