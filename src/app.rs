//! Assembly: from a configuration to a running proxy, and back to nothing.
//!
//! Start: signals taken over → configuration read → sandbox → logging → metrics → audit trail → HSMs opened and probed → bind → serve → ready. An HSM that is down does not stop the start: the proxy
//! serves, says so in its health answer, and keeps trying.
//! Change (SIGHUP, or a file that is another than the one that was read): read and validated as a whole → devices started or
//! changed → key stores and TLS exchanged in one step → devices that are not wanted any more closed. A configuration with a fault
//! changes nothing.
//! Stop (SIGTERM, SIGINT): not ready → no new connections → finish what runs → end the audit trail → close sessions → finalize → end.

mod auditor;
mod devices;
mod error;
mod panic_metrics;
mod proxy;
mod readiness;
mod reload;
mod start;
mod stores;

pub use error::AppError;
pub use proxy::run;
