//! `xks-proxy bench`: load as KMS makes it, and what becomes of it.
//!
//! # Invariants
//! - In an open loop requests begin when they are due, however slow the target is, and their latency counts from then on: what a
//!   stall costs shows in every request that fell into it.
//! - Each request is signed afresh, and has a kmsRequestId of its own.
//! - Plaintexts are made here and mean nothing; neither they nor secrets are in a report.

mod html;
mod lanes;
mod load;
mod mix;
mod plan;
mod recording;
mod report;
mod run;
mod search;
mod svg;
mod target;
mod text;
mod work;

pub use html::of as html;
pub use load::Pulse;
pub use mix::{Mix, Sizes};
pub use plan::{Plan, Shape};
pub use report::Report;
pub use run::{BenchError, run};
pub use target::{BenchTarget, TargetError, address_of};
pub use text::{comparison, of as text, slowdown};
