//! The admin listener: probes, and metrics in the text format of Prometheus.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::http::plain;
use crate::harness::response::Response;
use crate::harness::{PATIENCE, Proxy};

impl Proxy {
    /// Sends a GET to the admin listener.
    #[track_caller]
    pub fn admin(&self, path: &str) -> Response {
        plain(self.admin, "GET", path)
    }

    /// Waits until the proxy reports that it accepts no more requests.
    #[track_caller]
    pub fn await_unready(&self) {
        eventually("not ready", || {
            (self.admin("/readyz").status == 503).then_some(())
        });
    }

    /// Returns the text of `/metrics`.
    #[track_caller]
    pub fn metrics(&self) -> String {
        String::from_utf8(self.admin("/metrics").body).unwrap()
    }

    /// Returns the sum of a metric's samples that have all these labels; `None` without a sample.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let text = self.metrics();
        let values: Vec<f64> = text
            .lines()
            .filter_map(|line| sample(line, name, labels))
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Waits until a metric satisfies the condition, and returns its value.
    #[track_caller]
    pub fn await_metric(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        wanted: impl Fn(f64) -> bool,
    ) -> f64 {
        eventually(name, || {
            self.metric(name, labels).filter(|value| wanted(*value))
        })
    }
}

/// Polls until `attempt` returns a value. Fails the test after [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the value of a line, if it is a sample of this metric with all these labels.
pub fn sample(line: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let (series, value) = line.rsplit_once(' ')?;
    let (found, described) = series.split_once('{').unwrap_or((series, ""));
    let all = labels
        .iter()
        .all(|(label, value)| described.contains(&format!("{label}=\"{value}\"")));
    if found == name && all {
        value.parse().ok()
    } else {
        None
    }
}
