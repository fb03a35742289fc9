//! # xks-proxy
//!
//! AWS KMS ⟶ HTTPS ⟶ **xks-proxy** ⟶ PKCS#11 ⟶ HSM. The proxy implements the AWS KMS External Key Store (XKS) Proxy API (version 1.0.3):
//! GetHealthStatus, GetKeyMetadata, Encrypt and Decrypt. It verifies SigV4 signatures, and AES-256-GCM runs inside the HSM.
//!
//! This page is the architecture document. The package is a library with thin binaries; documentation is stored beside what it explains.
//!
//! **Priorities.** When two conflict, the first one wins: no key, PIN or plaintext leaks · no ciphertext is produced that cannot be
//! decrypted · nobody unauthorized is served · KMS gets its response within 250 ms · a tenant, key, client or HSM never takes the others
//! down · an operator understands what happened · speed · small code.
//!
//! ## Processes
//! ```text
//!  launcher ── starts the others, holds no secret, parses nothing from outside
//!    ├── front: TLS, HTTP, SigV4, policy, audit, quota, failover  │ TLS keys, SigV4 secrets; no PIN, no PKCS#11 code
//!    └── worker, one per [[hsm]]: PKCS#11 library, sessions       │ the PIN; no TLS key, no SigV4 secret, no listening socket
//!  KMS ── TLS ──▶ front ── job frames ──▶ worker ── PKCS#11 ──▶ HSM
//! ```
//! - All processes run the same executable: `serve` is the launcher; `front` and `worker` are internal subcommands. The launcher executes
//!   `/proc/self/exe`, so all processes have the same version while the file is being upgraded.
//! - The front requests a worker from the launcher and receives the sockets for jobs as file descriptors. If the launcher or the front ends,
//!   all processes end.
//! - Each process restricts itself ([`sandbox`]): the front cannot read PIN files, and no process can trace another one. The launcher has no
//!   Landlock or seccomp sandbox, because its children would inherit it.
//! - A worker has its own descriptors and the environment of its `[[hsm]]` only. It reads its settings and its PIN itself: the front chooses
//!   neither the library nor its environment.
//! - The front and a worker treat each other's frames as hostile input: bounded, checked, fuzzed ([`hsm_protocol`]). The protocol is not a
//!   PKCS#11 tunnel. A compromised front can use keys as KMS can. It cannot read, export, change or delete a key.
//! - Wrong PINs do not add up to a locked token: the launcher keeps a record of logins across restarts ([`launcher`]).
//! - A crash, a hang, a fatal error, changed settings and a new library file have the same effect: a new worker. It opens and probes the token
//!   while the old worker serves, then takes over. The old worker finishes its jobs and closes, or is killed with its process group.
//! - Jobs are safe to repeat. A job whose worker ends is retried once within its deadline: on another HSM, or on the new worker.
//!
//! ## Layers
//! A module imports only modules of lower layers, never of the same layer. Files must not import one another in a cycle; the cycles that
//! still exist are listed and can only become fewer. `tests/architecture.rs` enforces both.
//!
//! | layer | module | content |
//! | --- | --- | --- |
//! | 9 | `main`, `bin/kms-simulator` | `fn main() -> ExitCode` |
//! | 8 | [`cli`] | commands, one file each; exit codes |
//! | 7 | [`app`] | assembly of the front: start, reload, drain, signals |
//! | 7 | [`launcher`] | starts the front and the workers, forwards signals, reports ends of workers, keeps the record of logins |
//! | 7 | [`worker`] | assembly of a worker: settings, environment, PIN, descriptors |
//! | 6 | [`config`] | TOML, files and environment → the settings of each module; reports all errors at once |
//! | 6 | [`migrate`] | the settings of AWS's sample proxy → a configuration |
//! | 5 | [`server`] | listener, TLS, HTTP, the layers that a request passes |
//! | 5 | [`admin`] | second listener: `/livez`, `/readyz`, `/metrics` |
//! | 5 | [`logging`] | log output with its own settings; spans for an OpenTelemetry collector |
//! | 5 | [`inventory`] | which HSM has which key, equality of keys across HSMs, creation and rotation of keys |
//! | 5 | [`toolkit`] | the operator's tools: probe, conformance, bench; they use a proxy only through its wire protocol |
//! | 5 | [`simulator`] | AWS KMS for external key stores, on this machine; it uses a proxy only through its wire protocol |
//! | 4 | [`operations`] | encrypt, decrypt, key metadata, health: no HTTP, no PKCS#11 |
//! | 3 | [`keystore`] | external key stores: prefix → credentials, keys and versions, quota, state |
//! | 3 | [`hsm`] | the front's side of a worker: supervision, weighted fair queue, load estimate, circuit breaker |
//! | 3 | [`pkcs11`] | the worker's side: library, token, sessions, key handles, GCM profiles, error attribution; the only module that uses `cryptoki` |
//! | 3 | [`token_access`] | access of operator commands to a token, in a worker of the command |
//! | 2 | [`fleet`] | the HSMs of a key store: choice of the HSM for a request, hedged requests, failover |
//! | 2 | [`policy`] | the authorization policy, in Cedar |
//! | 2 | [`audit`] | the audit trail: a hash chain of lines that an HSM authenticates, and its verification |
//! | 2 | [`client`] | an XKS client: signatures, TLS, connections |
//! | 2 | [`hsm_protocol`] | the frames between launcher, front and workers |
//! | 1 | [`xks`] | the vocabulary of the specification: routes, wire types, framing, the error table |
//! | 1 | [`sigv4`] | verification of signatures, without input or output |
//! | 1 | [`ekm`] | the trait of all HSMs, `KeyManager`, and its errors |
//! | 2 | [`toml_file`] | TOML documents: tables, values, errors with their lines, the files that were read |
//! | 1 | [`connections`] | the source of a connection, and the limits of connections |
//! | 1 | [`private_file`] | creation of files with secrets |
//! | 1 | [`read_file`] | reads files that a configuration or a command line names: regular files only, with a time limit |
//! | 1 | [`kms_certificate`] | the root certificates that AWS KMS trusts, and its rule for the common name |
//! | 0 | [`secret`], [`iv`], [`clock`], [`hex`], [`json_line`], [`listen`] | redacted values, initialization vectors, deadlines and times, hexadecimal text, JSON lines, addresses to listen on |
//! | 0 | [`metrics`], [`similar`], [`build_info`] | the registry of metrics, suggestions for misspelt names, the version |
//! | 0 | [`partitions`] | AWS partitions: Regions, DNS suffixes, service names |
//! | 0 | [`proxy_protocol`] | the PROXY protocol header of a Network Load Balancer |
//! | 0 | [`sandbox`] | the restrictions that each process applies to itself: files, programs, system calls |
//! | 0 | [`sync`] | threads, tasks and locks that do not fail silently; the panic hook |
//!
//! Modules own their settings and declare their metrics. Errors convert one layer up: `CKR_*` → [`ekm::KeyManagerError`] → [`xks::Fault`] →
//! response. The table of errors is exhaustive and tested row by row.
//!
//! ## Request flow
//! accept (a permit for unverified connections, bounded per source) → PROXY header, if the listener requires one → TLS handshake under a
//! timeout → HTTP → **observe** (record, metrics, access log) → **audit** → **rescue** (error responses) → **deadline** → **authenticate** →
//! **admit** (in-flight permit) → store state → quota → key → policy → key state and usage → **HSM job** → audit → response. [`server`]
//! describes each layer. The resources of an unverified client (connections, handshakes, memory, log and audit entries) are bounded per source.
//!
//! An HSM job: the front queues it and sends it over the socket of a free session; a thread of the worker calls the library and answers.
//! [`hsm`] describes the front's side. [`pkcs11`] lists each file from the job to `C_EncryptInit`.
//!
//! A panic in a request is answered with 500. A panic in a background thread or under a lock ends the process with exit code 70: see [`sync`].
//!
//! ## Start and stop
//! The launcher handles signals → starts the front. The front handles signals → reads the configuration → sandbox → log → metrics → requests
//! the workers → waits at most ten seconds for their first attempts → binds → serves → ready. An HSM that is down does not stop the start.
//!
//! SIGTERM: not ready → stop accepting → finish running requests → stop workers → exit code 0. SIGHUP, or a changed file: the configuration is
//! read, validated and replaced as a whole; a file with an error changes nothing and is logged. The launcher forwards signals only after the
//! front has installed its handlers, so no signal is lost or fatal during the start. A certificate outside its validity is an error in the
//! log; only unreadable files and keys that do not match stop the start.

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
pub mod hex;
pub mod hsm;
pub mod hsm_protocol;
pub mod inventory;
pub mod iv;
pub mod json_line;
pub mod keystore;
pub mod kms_certificate;
pub mod launcher;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod migrate;
pub mod operations;
pub mod partitions;
pub mod pkcs11;
pub mod policy;
pub mod private_file;
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
#[cfg(test)]
mod test_random;
pub mod token_access;
pub mod toml_file;
#[cfg(feature = "toolkit")]
pub mod toolkit;
pub mod worker;
pub mod xks;
