//! Connections of clients: their sources, their limits, and which connections stay when a limit is reached.
//!
//! A listener accepts every connection at once, so that the kernel's accept queue does not fill, and requests a [`Slot`] from [`Connections::admit`].
//! When a limit is reached, the new connection displaces another one: [`Slot::displaced`] resolves for that connection, and its task ends. `pool`
//! documents the order of displacement.
//!
//! Behind a Network Load Balancer, a connection begins with a PROXY header, which contains its source ([`ProxyHeaders`]).
//!
//! This module contains no HTTP, and of TLS only the results of client authentication. The listeners of `server` and `admin` use it.
//!
//! An *unverified* connection has not carried a request with a valid signature. Its source is *known* if it had a verified request in the last ten
//! minutes, or if it is configured as shared.
//!
//! # Invariants
//! - Clients cause a bounded number of log lines here: for each listener and kind of event one at once, then one per [`PERIOD`] with the count.

mod client_certificate;
mod end;
mod metrics;
mod networks;
mod pool;
mod proxy_headers;
mod slot;
mod source;
mod tally;
mod usage;

pub use client_certificate::ClientCertificate;
pub use end::End;
pub use metrics::ConnectionMetrics;
pub use networks::Networks;
pub use pool::PoolLimits;
pub use proxy_headers::{FirstByte, ProxyHeaders};
pub use slot::{ClientStream, Connections, Exempt, Handle, Slot, Standing};
pub use source::Source;
pub use tally::{PERIOD, Tally};
pub use usage::Usage;
