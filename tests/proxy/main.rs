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

mod admin;
mod audit;
mod audit_commands;
mod audit_disks;
mod audit_faults;
mod audit_incomplete;
mod audit_limit;
mod audit_moves;
mod audit_packed;
mod audit_paths;
mod audit_slow;
mod audit_strangers;
mod audit_tampering;
mod authentication;
mod base64_limits;
mod bench_command;
mod blame;
mod bodies;
mod certificate_renewal;
mod certificates;
mod client_certificates;
mod clock_jumps;
mod command_line;
#[cfg(feature = "toolkit")]
mod conformance;
mod connection_age;
mod credential_new;
mod cut_bodies;
mod denied_paths;
mod descriptors;
mod dialects;
mod floods;
mod foreign_modules;
mod framing;
mod garbage;
mod h2_errors;
mod hangs;
mod happy;
mod hostile_files;
mod hsm_changes;
mod hsm_faults;
mod hsm_outage;
mod hsm_setup;
mod hsm_vanishes;
mod http2;
mod http2_limits;
mod key_changes;
mod key_commands;
mod key_proofs;
mod keys_missing;
mod kill_switch;
mod legacy;
mod listeners;
mod log;
mod log_output;
mod login_record;
mod memory;
mod metrics_table;
mod migrate_config;
mod mtls;
#[cfg(feature = "otlp")]
mod otlp;
mod panics;
mod partitions;
mod paths;
mod pipelines;
mod pkcs11_errors;
mod policy;
mod policy_faults;
mod probe;
mod processes;
mod prometheus;
mod proxy_protocol;
mod public_names;
mod quotas;
mod records;
mod rejected_keys;
mod reload;
mod rotation;
mod shared_tokens;
mod shutdown;
mod signatures;
mod signers;
#[cfg(feature = "simulator")]
mod simulator_boto3;
#[cfg(feature = "simulator")]
mod simulator_certificates;
#[cfg(feature = "simulator")]
mod simulator_cli;
#[cfg(feature = "simulator")]
mod simulator_clients;
#[cfg(feature = "simulator")]
mod simulator_faults;
#[cfg(feature = "simulator")]
mod simulator_iam;
#[cfg(feature = "simulator")]
mod simulator_sdk;
mod slow;
mod start_signals;
mod stranger_lines;
mod strangers;
mod tls;
mod token_login;
mod two_hsms;
mod unit;
mod untrusted;
mod unverified;
mod workers;
