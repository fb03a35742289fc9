//! The proxy as KMS meets it: each test runs the real binary with a token, PKI and ports of its own, and judges it by
//! nothing but the wire, the log, the metrics and the exit code. `tests/README.md` says how to run and read these tests.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on says so at once, with the proxy's log"
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
