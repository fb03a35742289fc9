//! Tests of the sandboxes: the example `sandboxed` restricts itself, then tries actions that must fail and actions that must work.
//!
//! Each action that must fail in a sandbox is also tried without one, where it must work. Otherwise its failure would prove nothing.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod front;
mod harness;
mod kernel;
mod token;
mod worker;
