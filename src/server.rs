//! The network side of the front: listeners, TLS, HTTP and the layers that each request passes.
//!
//! A connection is accepted at once and gets a slot ([`crate::connections`]); another connection may have to end for it. The TLS handshake runs in
//! the connection's own task, with a timeout. `connection` ends connections that are idle, that send their headers too slowly, or that send many
//! bytes outside requests.
//!
//! A request starts with one configuration, one deadline and one record, which it keeps until its end (`received`). It passes these layers, the
//! outermost first:
//! - **last_resort** returns an error response when one of the layers inside it panics.
//! - **observe** counts the request and writes its access log line, whatever the layers inside it do. It finishes a verified request even if its
//!   client has disconnected.
//! - **audit** records each verified request before its response is sent. A request that cannot be recorded gets an error response.
//! - **rescue** converts every error and every panic of the layers inside it into a JSON body of the error table.
//! - **authenticate** finds the key store by its path prefix and reads the body, within its limit and within the byte budget of unverified requests.
//!   Then it verifies the signature over exactly those bytes.
//! - **admit** admits a bounded number of verified requests, so that no key store takes all permits. It rejects the others at once with
//!   ThrottlingException.
//! - **dispatch** parses the body and calls the operation.
//!
//! # Invariants
//! - No information about keys is read before the signature is verified.
//! - No body is buffered beyond its limit, and every connection has timeouts.
//! - The memory and the lines of `unverified` clients are bounded for the whole process. Verified clients have separate limits.

mod connection;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod layers;
mod live;
mod metrics;
mod received;
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
