//! `xks-proxy bench`: load as KMS makes it, and its measurement.
//!
//! # Invariants
//! - In an open loop, requests start at their intended times, however slow the target is. Latency counts from the intended time, so
//!   every request that is delayed by a stall shows the stall.
//! - Each request has its own signature and kmsRequestId.
//! - Plaintexts are test data. A report contains neither plaintexts nor secrets.

mod html;
mod load;
mod mix;
mod plan;
mod pool;
mod recording;
mod report;
mod run;
mod search;
mod svg;
mod target;
mod text;
mod work;

pub use html::render as html;
pub use load::Snapshot;
pub use mix::{Mix, Sizes};
pub use plan::{Plan, Shape};
pub use report::Report;
pub use run::{BenchError, run};
pub use target::{BenchTarget, TargetError, address_of};
pub use text::{comparison, render as text, slowdown};
