//! # xks-proxy
//!
//! AWS KMS ⟶ HTTPS ⟶ **xks-proxy** ⟶ PKCS#11 ⟶ HSM. The proxy implements the AWS KMS External Key Store (XKS) Proxy API (version 1.0.3):
//! GetHealthStatus, GetKeyMetadata, Encrypt and Decrypt. It verifies SigV4 signatures and performs AES-256-GCM inside the HSM.
//!
//! Ranked values; when two conflict the upper one wins: no key or plaintext leaks · no ciphertext is made that cannot be
//! decrypted · nobody unauthorised is served · KMS gets its answer within 250 ms · an operator understands what happened · speed ·
//! small code.
//!
//! ## Floors and rooms
//! A room is a module. It imports only rooms on lower floors, never one on its own. `tests/architecture.rs` enforces it.
//!
//! | floor | room | what it is |
//! | --- | --- | --- |
//! | 8 | `main`, `bin/kms-simulator` | `fn main() -> ExitCode` |
//! | 7 | [`cli`] | commands, one file each; exit codes |
//! | 6 | [`app`] | assembly: start and drain order, signals |
//! | 5 | [`config`] | TOML, files and the environment; all faults at once |
//! | 4 | [`server`] | listener, TLS, HTTP, the layers that a request walks through |
//! | 4 | [`admin`] | the second listener: `/livez`, `/readyz`, `/metrics` |
//! | 4 | [`inventory`] | the operator's view: which HSM has which key, whether they are the same, how a key comes to be there |
//! | 4 | [`toolkit`] | the operator's tools, which know a proxy by its wire only: probe, conformance, bench |
//! | 4 | [`simulator`] | AWS KMS for external key stores, on this machine: the other side of the wire |
//! | 3 | [`operations`] | the four operations: no HTTP, no PKCS#11 |
//! | 3 | [`hsm`] | PKCS#11: an actor per device; the only room that says `cryptoki` |
//! | 2 | [`keystore`] | external key stores: prefix → credentials, keys, state |
//! | 2 | [`policy`] | secondary authorization, in Cedar |
//! | 2 | [`audit`] | the audit trail: a chain of lines that the HSM authenticates, and its verification |
//! | 2 | [`client`] | requests to an XKS proxy: signatures, TLS, connections |
//! | 1 | [`xks`] | the specification's vocabulary as bytes: routes, wire types, framing, the one error table |
//! | 1 | [`sigv4`] | signature verification, pure |
//! | 1 | [`ekm`] | the seam to the devices: trait `KeyManager` and how it fails |
//! | 1 | [`connections`] | the source of a connection, and which connections may stay |
//! | 1 | [`read_file`] | files that a configuration or a command line names: regular ones only, and no file system is waited for long |
//! | 0 | [`secret`], [`clock`], [`json_line`], [`listen`], [`metrics`], [`similar`], [`build_info`] | values that hide themselves, deadlines and moments, JSON in a line, addresses to listen on, the registry, misspelt names, the version |
//! | 0 | [`sync`] | threads, tasks and locks that never fail silently; the panic hook |
//!
//! ## The walk of a request
//! accept (an unverified connection gives way if there are too many) → TLS handshake under a timeout → hyper → **observe** → **audit** →
//! **rescue** → **deadline** → **authenticate** → **admit** →
//! store state → quota → key → policy → key state and usage → **HSM job** → audit → answer. See [`server`] for what each layer promises, [`hsm`] for the device's
//! threads, queue and blame.
//!
//! A panic in a request is answered with 500; a panic in the background, or under a lock, ends the process with exit code 70: see [`sync`].
//!
//! Errors convert one floor up: `CKR_*` → [`ekm::KeyManagerError`] → [`xks::Fault`] → response.

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
pub mod hsm;
pub mod inventory;
pub mod json_line;
pub mod keystore;
pub mod listen;
pub mod metrics;
pub mod operations;
pub mod policy;
pub mod read_file;
pub mod secret;
pub mod server;
pub mod sigv4;
pub mod similar;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod sync;
#[cfg(feature = "toolkit")]
pub mod toolkit;
pub mod xks;
