//! HSMs that fail, hang, change or return errors while the proxy serves.

mod error_attribution;
mod hangs;
mod hsm_changes;
mod hsm_faults;
mod hsm_outage;
mod hsm_vanishes;
mod two_hsms;
mod untrusted;
