//! Tests of the real binary as KMS uses it. Each test has its own token, PKI and ports. It checks only network traffic, the log, metrics and
//! exit codes. `tests/README.md` describes how to run and read these tests.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a failed test panics at once and prints the log of the proxy"
)]

mod harness;

mod access_control;
mod api;
mod audit_trail;
mod commands;
mod configuration;
mod handshake;
mod hsm;
mod http;
mod keys;
#[cfg(feature = "simulator")]
mod kms_simulator;
mod lifecycle;
mod observability;
mod resource_limits;
mod tokens;
mod toolkit;
