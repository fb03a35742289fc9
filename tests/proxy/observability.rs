//! Logs, metrics, alerts, spans and the admin listener.

mod admin;
mod log;
mod log_output;
mod metrics_table;
#[cfg(feature = "otlp")]
mod otlp;
mod prometheus;
mod records;
