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

mod aliases;
mod answers;
mod authorize;
mod blob;
mod caller;
mod calls;
mod client_certificate;
mod cloudtrail;
mod cloudwatch;
mod connect;
mod context;
mod counters;
mod credentials;
mod cryptography;
mod data_keys;
mod dispatch;
mod endpoint_services;
mod events;
mod exception;
mod faults;
mod grant_calls;
mod grant_parties;
mod grants;
mod identity;
mod key_calls;
mod key_policy;
mod key_state;
mod keys;
mod last_usage;
mod link;
mod metadata;
mod pages;
mod partition;
mod patterns;
mod policy;
mod policy_calls;
mod principals;
mod quota;
mod random;
mod records;
mod run;
mod seal;
mod sealing;
mod serve;
mod settings;
mod state;
mod state_file;
mod store_calls;
mod store_changes;
mod store_rules;
mod stores;
mod tags;
mod unsupported;
mod usage_calls;
mod wire;
mod world;

pub use client_certificate::ClientCertificateKind;
pub use cloudtrail::{TrailError, TrailFaults, TrailSettings};
pub use credentials::{CredentialsError, KmsCredentials};
pub use endpoint_services::{EndpointService, EndpointServices};
pub use identity::IdentityError;
pub use principals::{Principals, PrincipalsError};
pub use run::{StartError, run};
pub use settings::Settings;
pub use state_file::StateError;
