//! The wire types of the AWS KMS External Key Store Proxy API: paths, requests, responses and errors, as bytes.
//!
//! This module has no sockets, no async code and no HTTP library, so all of it can be tested with byte strings. A request is parsed into domain types whose
//! existence proves their limits, so no other module checks a length again.

mod bytes;
mod console;
mod fault;
mod framing;
mod metadata;
mod names;
mod request;
mod response;
mod route;

pub use bytes::{Aad, CiphertextMetadata, GcmTag, KeyVersion, MAX_AAD, MAX_PLAINTEXT};
pub use console::ConsoleFile;
pub use fault::{ErrorName, Fault, FaultKind};
pub use framing::{
    aws_samples_framed_aad, framed_aad, integrity_prefix, integrity_value, version_of_framing,
};
pub use metadata::RequestMetadata;
pub use names::{ExternalKeyId, PathPrefix};
pub use request::{DecryptRequest, EncryptRequest, HealthRequest, KeyMetadataRequest};
pub use response::{
    DecryptResponse, EkmFleetDetail, EkmHealth, EncryptResponse, EncryptedBytes, HealthResponse,
    KeyMetadataResponse, KeySpec, KeyStatus, KeyUsage,
};
pub use route::{Operation, Route, RouteError};
