//! The metrics registry. Each module declares the metrics that it emits.
//!
//! Names follow the conventions of Prometheus: base units, and `_total` for counters. The number of label values is bounded. No label
//! contains a principal, a key ARN or any other value that a client chooses.

mod process;

use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use thiserror::Error;

/// Latency buckets in seconds: from 100 µs to the 250 ms of KMS, and one above for requests that were too late.
pub const LATENCY_BUCKETS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.2, 0.25, 0.5,
];

/// The content type of the text that [`Metrics::render`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric could not be declared: its name is already declared or is invalid.
#[derive(Debug, Error)]
#[error("metric could not be declared: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// A registry. Each running proxy has a separate one, so that a test can run several proxies in one process.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Returns a registry with the metrics of the process: CPU, memory and descriptors.
    ///
    /// # Errors
    /// [`MetricsError`] when the process collector cannot be declared.
    pub fn new() -> Result<Self, MetricsError> {
        let metrics = Self::default();
        metrics
            .registry
            .register(Box::new(process::ProcessCollector::new()?))?;
        Ok(metrics)
    }

    /// Declares a counter. `name` ends in `_total`.
    ///
    /// # Errors
    /// [`MetricsError`] when the name is already declared or is invalid.
    pub fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, MetricsError> {
        let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    /// Declares a gauge of whole numbers.
    ///
    /// # Errors
    /// [`MetricsError`] when the name is already declared or is invalid.
    pub fn gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, MetricsError> {
        let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    /// Declares a gauge of real numbers, such as seconds.
    ///
    /// # Errors
    /// [`MetricsError`] when the name is already declared or is invalid.
    pub fn real_gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GaugeVec, MetricsError> {
        let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    /// Declares a latency histogram with [`LATENCY_BUCKETS`]. `name` ends in `_seconds`.
    ///
    /// # Errors
    /// [`MetricsError`] when the name is already declared or is invalid.
    pub fn latency(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<HistogramVec, MetricsError> {
        let options = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec());
        let histogram = HistogramVec::new(options, labels)?;
        self.registry.register(Box::new(histogram.clone()))?;
        Ok(histogram)
    }

    /// Returns all metrics in the text format of Prometheus (content type [`CONTENT_TYPE`]).
    ///
    /// # Errors
    /// [`MetricsError`] when a collector returns an inconsistent metric family.
    pub fn render(&self) -> Result<Vec<u8>, MetricsError> {
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_metrics_are_rendered() {
        let metrics = Metrics::new().unwrap();
        let counter = metrics
            .counter("xks_test_total", "A test.", &["kind"])
            .unwrap();
        counter.with_label_values(&["a"]).inc_by(3);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text.contains("xks_test_total{kind=\"a\"} 3"));
        assert!(text.contains("process_resident_memory_bytes"));
    }

    #[test]
    fn a_name_is_declared_once() {
        let metrics = Metrics::default();
        assert!(metrics.gauge("xks_test", "A test.", &[]).is_ok());
        assert!(metrics.gauge("xks_test", "A test.", &[]).is_err());
    }
}
