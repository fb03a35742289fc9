//! Assembly of the front process: start, reload, drain.
//!
//! - Start: handle signals → read the configuration → sandbox → log → metrics → audit trail → start the workers → wait at most ten
//!   seconds for their first attempts → bind → serve → ready. An HSM that is down does not stop the start: the proxy serves, reports the
//!   HSM in its health answer, and keeps trying.
//! - Reload (SIGHUP, or a file differs from what was read): read and validate the whole configuration → start or change HSMs → replace key
//!   stores and TLS in one step → close HSMs that were removed. A configuration with an error changes nothing.
//! - Stop (SIGTERM, SIGINT): not ready → no new connections → finish running requests → end the audit trail → stop the workers → exit.

mod admin_listener;
mod auditor;
mod devices;
mod error;
mod panic_metrics;
mod proxy;
mod readiness;
mod reload;
mod request_threads;
mod start;
mod stores;

pub use error::AppError;
pub use proxy::run;
