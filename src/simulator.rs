//! AWS KMS's JSON 1.1 API for external key stores, on this machine: the AWS CLI and SDKs on one side, any XKS proxy on the other.
//!
//! What it knows of KMS: custom key stores of type EXTERNAL_KEY_STORE, keys of origin EXTERNAL_KEY_STORE, and what answers for the rest.
//! Key policies, identity policies and grants have their effect as AWS documents it, when the callers are known. A policy with a part that
//! the simulator does not evaluate cannot be put: it never allows anything by accident. What IAM has besides is not there: groups,
//! permissions boundaries, session policies, policies of organizations and of VPC endpoints. What it has not: any quota but that of the
//! stores, and of a VPC endpoint service anything but its name, owner and allowed accounts: the proxy behind one is called like any
//! other. Grant tokens are given and never needed, because a grant counts at once.
//!
//! # Invariants
//! - A blob made under one KMS key never decrypts under another, nor in another Region or account, nor after a bit was changed.
//! - Key material, secrets and plaintexts are in the answers that ask for them and in the state file of mode 0600, and nowhere else.
//! - Nothing but the one table in `faults` says which exception an answer of the proxy becomes.
//! - No lock is held while something is awaited.

mod api;
mod callers;
mod cloudtrail;
mod cloudwatch;
mod counters;
mod crypto;
mod events;
mod http;
mod policy;
mod proxy;
mod run;
mod settings;
mod state;
mod wire;
mod world;

pub use callers::credentials::{CredentialsError, KmsCredentials};
pub use callers::principals::{Principals, PrincipalsError};
pub use cloudtrail::{TrailError, TrailFaults, TrailSettings};
pub use proxy::client_certificate::ClientCertificateKind;
pub use proxy::tls::IdentityError;
pub use run::{StartError, run};
pub use settings::Settings;
pub use state::endpoint_services::{EndpointService, EndpointServices};
pub use state::file::StateError;
