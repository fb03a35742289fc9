//! Signature Version 4 verification (XKS API, "Authentication"; AWS Signature Version 4).
//!
//! Pure: a request as bytes, credentials and a wall-clock time go in, the credential that signed comes out. It knows neither what
//! is asked for nor who listens. Only [`NewCredential`] draws on something else, the random generator.
//!
//! # Invariants
//! - What is verified is what was received: path, query, headers and body are never taken from a parsed form.
//! - Every request costs the same HMACs, whether its access key id is known or not; signatures are compared in constant
//!   time, and no reason for a refusal reaches the outside.
//! - `host` and `x-amz-date` are always signed; no header that is signed may be missing.

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
pub use verify::{Denied, Scope, Verifier, signed_at};
