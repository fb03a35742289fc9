//! A local simulator of AWS KMS for external key stores. AWS CLI and SDKs call it over KMS's JSON 1.1 API; it calls any XKS proxy.
//!
//! It has custom key stores of type EXTERNAL_KEY_STORE and keys of origin EXTERNAL_KEY_STORE. Other KMS operations fail as they do for
//! such keys.
//!
//! Key policies, identity policies and grants work as AWS documents them, if a credentials file names the callers. A policy with a part
//! that the simulator does not evaluate is rejected, so it never allows anything by accident. A grant is effective at once: grant tokens
//! are returned but not needed.
//!
//! The simulator does not have:
//! - groups, permissions boundaries, session policies, and policies of organizations and VPC endpoints;
//! - quotas, except the request quota of a store;
//! - VPC endpoint services, except their names, owners and allowed accounts: it calls the proxy behind one directly.
//!
//! # Invariants
//! - A blob decrypts only under its own KMS key, in its own account and Region, and only if no bit has changed.
//! - Key material, secrets and plaintexts are only in the responses that return them, and in the state file with mode 0600.
//! - One table, in `proxy/errors.rs`, maps the errors of a proxy to the exceptions of KMS.
//! - No lock is held across an `await`.
//!
//! # Parts
//! A part imports only parts above it in this table, which `tests/architecture/parts.rs` checks.
//!
//! | part | content |
//! | --- | --- |
//! | `wire` | the JSON of the KMS API: parameters, exceptions, pages, names, times |
//! | `policy` | the policy language of IAM |
//! | `callers` | the principals that call KMS |
//! | `crypto` | key material, encryption contexts, ciphertext blobs, random values |
//! | `proxy` | connections to proxies, their responses and errors |
//! | `state` | key stores, keys, aliases and grants, and the file that holds them |
//! | `cloudtrail`, `cloudwatch`, `metrics`, `events` | the records of what happened |
//! | `settings`, `kms` | the settings, and a running simulator |
//! | `api` | the operations of KMS |
//! | `http` | the listener |
//! | `run` | start and stop |

mod api;
mod callers;
mod cloudtrail;
mod cloudwatch;
mod crypto;
mod events;
mod http;
mod kms;
mod metrics;
mod policy;
mod proxy;
mod run;
mod settings;
mod state;
mod wire;

pub use callers::credentials::{CredentialsError, KmsCredentials};
pub use callers::principals::{Principals, PrincipalsError};
pub use cloudtrail::{TrailError, TrailFaults, TrailSettings};
pub use proxy::client_certificate::ClientCertificateKind;
pub use proxy::tls::ClientCertificateError;
pub use run::{StartError, run};
pub use settings::Settings;
pub use state::endpoint_services::{EndpointService, EndpointServices};
pub use state::file::StateError;
