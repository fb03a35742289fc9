//! Connections of clients: where they come from, and which may stay when there are too many.
//!
//! A listener accepts every connection at once, so that no queue in the kernel fills with strangers, and asks [`Connections::admit`] for a [`Slot`].
//! When a limit is reached, another connection gives way: [`Slot::displaced`] resolves, and its task ends. The order is in `pool`.
//!
//! Behind a Network Load Balancer a connection begins with a PROXY header, which tells its source ([`ProxyHeaders`]).
//!
//! This module knows no HTTP, and of TLS only the names of the results of client authentication. The listeners of `server` and `admin` both use it.
//!
//! # Invariants
//! - A stranger costs a bounded number of log lines: one at once, then one per [`PERIOD`], listener and kind of event, with the count.

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
