//! The tools for operators: `probe`, `conformance` and `bench`.

mod bench_command;
#[cfg(feature = "toolkit")]
mod conformance;
mod probe;
