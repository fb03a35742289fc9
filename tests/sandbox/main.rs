//! The sandboxes, each tried for real: the example `sandboxed` restricts itself and then does what must fail and what must work.
//!
//! Each act that must fail under a sandbox is also tried without one, where it works: otherwise its failure would say nothing.
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
