//! Judges an XKS proxy over the wire: every testable MUST and SHOULD of the specification, as cases by section.
//!
//! # Invariants
//! - A case that needs something that was not given is skipped with the reason; it never passes unseen.
//! - Every error answer is checked for the whole shape of section 6, not for its status only.
//! - The credential is used to sign, and is in no report.

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

/// Judges `target` by these cases, in order, and tells each verdict as it is reached.
pub fn judge(target: &Target, cases: &[Case], mut tell: impl FnMut(&Verdict)) -> Vec<Verdict> {
    let mut verdicts = Vec::with_capacity(cases.len());
    for case in cases {
        let verdict = case.judge(target);
        tell(&verdict);
        verdicts.push(verdict);
    }
    verdicts
}

/// Whether a MUST failed.
pub fn failed(verdicts: &[Verdict]) -> bool {
    let failed =
        |v: &Verdict| v.severity == Severity::Must && matches!(v.outcome, Outcome::Failed(_));
    verdicts.iter().any(failed)
}
