//! The network side: listeners, TLS, HTTP and the layers that a request walks through.
//!
//! A connection: it is accepted at once and given a slot ([`crate::connections`]), for which another connection may have to end; the TLS handshake
//! runs in the connection's own task under a timeout; a `guard` and the `drive` loop end connections that are idle, send their headers too slowly
//! or send much that is no request.
//!
//! A request meets the layers in this order, outermost first:
//! - **observe** opens the request's record, counts it and writes its one line to the log, whatever happens inside. A verified request whose
//!   client has gone is finished all the same.
//! - **audit** records each verified request before its answer leaves; what cannot be recorded is not answered.
//! - **rescue** turns every fault and every panic from inside into the JSON body of the error table: nothing else ever leaves.
//! - **deadline** makes the one deadline of the request, which travels down to the HSM's queue.
//! - **authenticate** finds the key store by its path, reads the body under its cap and under the budget of unverified bytes, and verifies the
//!   signature over exactly those bytes.
//! - **admit** lets a bounded number of verified requests in, so that no store takes all permits, and refuses the rest at once with
//!   ThrottlingException.
//! - **dispatch** parses the body and calls the operation.
//!
//! # Invariants
//! - Nothing about keys is looked at before the signature is verified.
//! - No body is buffered beyond its cap; no connection lives without a timeout.
//! - What `strangers` hold and write is bounded for the whole process, apart from what verified clients need.

mod connection;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod layers;
mod live;
mod metrics;
mod request;
mod response;
mod run;
mod settings;
mod tls;
mod unverified;

pub use live::{Live, Serving};
pub use metrics::ServerMetrics;
pub use request::sample::Sample;
pub use run::{Server, ServerParts};
pub use settings::{Limits, ServerSettings};
pub use tls::certificate::identity::ServerIdentity;
pub use tls::certificate::problem::{CertificateProblem, ProblemKind};
pub use tls::client_auth::settings::{ClientAuth, ClientAuthMode, amazon_trust_services};
pub use tls::error::{CertificateExpiry, TlsError};
pub use tls::settings::TlsSettings;
