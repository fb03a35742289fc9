//! Assembly: from a configuration to a running proxy, and back to nothing.
//!
//! Start: logging → metrics → HSMs opened and probed → bind → serve → ready. An HSM that is down does not stop the start: the proxy
//! serves, says so in its health answer, and keeps trying.
//! Stop (SIGTERM, SIGINT): not ready → no new connections → finish what runs → close sessions → finalize → end.

mod hardening;
mod logging;
mod proxy;
mod readiness;
mod signals;

pub use proxy::{AppError, run};
