//! Verifies Signature Version 4 (XKS API, "Authentication"; AWS Signature Version 4), and signs requests.
//!
//! Verification is a pure function: from a request as bytes, credentials and a wall-clock time it returns the credential that signed the request. It does
//! not depend on the operation or on the connection. Only [`NewCredential`] has another input, the random generator.
//!
//! # Invariants
//! - Exactly the received path, query, header fields and body are verified, never a parsed form of them.
//! - Every request causes the same number of HMACs, for known and for unknown access key ids. Signatures are compared in constant time. No response contains
//!   the reason of a rejection.
//! - `host` and `x-amz-date` must be signed, and every signed header field must be present.

mod authorization;
mod canonical;
mod credential;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod new_credential;
mod sign;
mod verify;

pub use canonical::{PathForm, SignedRequest};
pub use credential::{AccessKeyId, Credential, CredentialError, Credentials};
pub use new_credential::{NewCredential, NoRandomness};
pub use sign::Signer;
pub use verify::{Denied, Scope, Verified, Verifier};
