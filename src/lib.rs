//! # xks-proxy
//!
//! AWS KMS ⟶ HTTPS ⟶ **xks-proxy** ⟶ PKCS#11 ⟶ HSM. The proxy implements the AWS KMS External Key Store (XKS) Proxy API (version 1.0.3):
//! GetHealthStatus, GetKeyMetadata, Encrypt and Decrypt. It verifies SigV4 signatures and performs AES-256-GCM inside the HSM.
//!
//! Priorities; when two conflict, the upper one wins: no key, PIN or plaintext leaks · no ciphertext is made that cannot be
//! decrypted · nobody unauthorized is served · KMS gets its answer within 250 ms · an operator understands what happened · speed ·
//! small code.
//!
//! ## Processes
//! ```text
//!  launcher ── starts the others, holds no secret, parses nothing from outside
//!    ├── front: TLS, HTTP, SigV4, policy, audit, quota, failover │ TLS keys, SigV4 secrets; no PIN, no PKCS#11 code
//!    └── worker: the PKCS#11 library of one [[hsm]], its sessions│ the PIN; no listening socket
//!  KMS ── TLS ──▶ front ── job frames ──▶ worker ── PKCS#11 ──▶ HSM
//! ```
//! - All processes are one executable: `serve` is the launcher, `front` and `worker` are internal subcommands. The launcher starts them from
//!   `/proc/self/exe`, so they are of one version also while the file is being upgraded.
//! - The front asks the launcher for a worker and gets the sockets to it. The worker reads its settings and its PIN itself: the front
//!   chooses neither the library nor its environment.
//! - If the launcher or the front ends, all processes end.
//! - Each process restricts itself ([`sandbox`]). The launcher has no sandbox, because its children would inherit it.
//! - The front and a worker treat each other's frames as hostile: bounded, checked, fuzzed ([`hsm_protocol`]). A front that is taken over can
//!   have keys used as KMS can. It cannot read, export, change or delete a key.
//! - There is one cure for a crash, a hang, a fatal error, changed settings and a new library file: a new worker. It opens and probes the token
//!   beside the old worker, then takes over. The old worker finishes its jobs and is closed, or is killed.
//! - Attempts at a wrong PIN do not add up: the launcher keeps a record of logins, also over restarts ([`launcher`]).
//!
//! ## Layers
//! A module imports only modules of lower layers, never one of its own layer. `tests/architecture.rs` enforces it.
//!
//! | layer | module | content |
//! | --- | --- | --- |
//! | 9 | `main`, `bin/kms-simulator` | `fn main() -> ExitCode` |
//! | 8 | [`cli`] | commands, one file each; exit codes |
//! | 7 | [`app`] | assembly of the front: start, reload and drain, signals |
//! | 7 | [`launcher`] | starts the front and the workers, forwards signals, reports ends, keeps the record of logins |
//! | 7 | [`worker`] | assembly of a worker: settings, environment, PIN, descriptors |
//! | 6 | [`config`] | TOML, files and the environment; all errors at once |
//! | 5 | [`server`] | listener, TLS, HTTP, the layers that a request passes |
//! | 5 | [`admin`] | the second listener: `/livez`, `/readyz`, `/metrics` |
//! | 5 | [`logging`] | the log on standard output, spans for a collector, with their settings |
//! | 5 | [`inventory`] | which HSM has which key, whether they are equal, creation and rotation of keys |
//! | 5 | [`toolkit`] | the operator's tools, which know a proxy by its wire only: probe, conformance, bench |
//! | 5 | [`simulator`] | AWS KMS for external key stores, on this machine: the other side of the wire |
//! | 4 | [`operations`] | the four operations: no HTTP, no PKCS#11 |
//! | 3 | [`keystore`] | external key stores: prefix → credentials, keys, state |
//! | 3 | [`hsm`] | the front's side of an HSM: supervision of its workers, weighted fair queue, load estimate, circuit breaker |
//! | 3 | [`pkcs11`] | the worker's side of an HSM: library, token, sessions, keys; the only module that names `cryptoki` |
//! | 3 | [`token_access`] | a token as a command of the operator uses it, in a worker of the command |
//! | 2 | [`fleet`] | the HSMs of a key store: choice of the HSM for a request, hedged requests, failover |
//! | 2 | [`policy`] | secondary authorization, in Cedar |
//! | 2 | [`audit`] | the audit trail: a chain of lines that the HSM authenticates, and its verification |
//! | 2 | [`client`] | requests to an XKS proxy: signatures, TLS, connections |
//! | 2 | [`hsm_protocol`] | the frames between the processes |
//! | 1 | [`xks`] | the specification's vocabulary as bytes: routes, wire types, framing, the one error table |
//! | 1 | [`sigv4`] | signature verification, pure |
//! | 1 | [`ekm`] | the trait of all HSMs, `KeyManager`, and its errors |
//! | 1 | [`connections`] | the source of a connection, and which connections may stay |
//! | 1 | [`read_file`] | files that a configuration or a command line names: regular ones only, with a time limit |
//! | 0 | [`kms_certificate`] | the roots that AWS KMS trusts, and its rule for the common name |
//! | 0 | [`secret`], [`clock`], [`json_line`], [`listen`], [`metrics`], [`similar`], [`build_info`] | redacted values, deadlines and times, JSON in a line, addresses to listen on, the registry, misspelt names, the version |
//! | 0 | [`partitions`] | AWS partitions: Regions, DNS suffixes, names of services |
//! | 0 | [`proxy_protocol`] | the header that a Network Load Balancer sends in front of a connection |
//! | 0 | [`sandbox`] | what each process gives up at its start: files, programs, system calls |
//! | 0 | [`sync`] | threads, tasks and locks that never fail silently; the panic hook |
//!
//! ## The way of a request
//! accept (an unverified connection gives way if there are too many) → PROXY header, if the listener requires one → TLS handshake under a timeout → hyper → **observe** → **audit** →
//! **rescue** → **deadline** → **authenticate** → **admit** →
//! store state → quota → key → policy → key state and usage → **HSM job** → audit → answer. See [`server`] for what each layer promises.
//!
//! An HSM job: the front queues it and sends it over the socket of a free session; a thread of the worker calls the library and answers.
//! [`hsm`] describes the front's side; [`pkcs11`] names each file from the job to `C_EncryptInit`. A job whose worker ends is sent once more,
//! on another HSM or to the new worker, within its deadline.
//!
//! A panic in a request is answered with 500; a panic in the background, or under a lock, ends the process with exit code 70: see [`sync`].
//!
//! Errors convert one layer up: `CKR_*` → [`ekm::KeyManagerError`] → [`xks::Fault`] → response.
//!
//! ## Start and stop
//! The launcher handles signals → starts the front. The front gives up privileges → handles signals → reads the configuration → log → metrics →
//! asks for the workers → waits at most ten seconds for their first attempt → binds → serves. An HSM that cannot be opened does not stop the start.
//!
//! SIGTERM: not ready → accepts no more connections → finishes running requests → closes the workers → exit code 0. SIGHUP, or a changed file: the
//! configuration is read, checked and exchanged as a whole, or not at all. The launcher forwards signals only when the front handles them.

pub mod admin;
pub mod app;
pub mod audit;
pub mod build_info;
pub mod cli;
#[cfg(any(feature = "simulator", feature = "toolkit"))]
pub mod client;
pub mod clock;
pub mod config;
pub mod connections;
pub mod ekm;
pub mod fleet;
pub mod hsm;
pub mod hsm_protocol;
pub mod inventory;
pub mod json_line;
pub mod keystore;
pub mod kms_certificate;
pub mod launcher;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod operations;
pub mod partitions;
pub mod pkcs11;
pub mod policy;
pub mod proxy_protocol;
pub mod read_file;
pub mod sandbox;
pub mod secret;
pub mod server;
pub mod sigv4;
pub mod similar;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod sync;
pub mod token_access;
#[cfg(feature = "toolkit")]
pub mod toolkit;
pub mod worker;
pub mod xks;
