//! The observable state of a proxy: metrics, the audit trail, the wall clock.

pub mod metrics;
pub mod trail;
pub mod wall_clock;
