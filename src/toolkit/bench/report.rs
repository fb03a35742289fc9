//! The result of a run, as it is saved and compared. Times are microseconds from the intended start of a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the format of a saved report.
pub const FORMAT: u32 = 1;

/// The result of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The `FORMAT` of the program that saved the report.
    pub format: u32,
    /// The program and its version.
    pub made_by: String,
    /// The start of the run, as RFC 3339.
    pub started_at: String,
    /// The target.
    pub target: String,
    /// The plan, as text.
    pub plan: String,
    /// The time during which requests were started, in seconds.
    pub seconds: f64,
    /// The total figures.
    pub total: Figures,
    /// The figures per operation.
    pub operations: BTreeMap<String, Figures>,
    /// The number of failures per error: error names of the API, or connection errors.
    pub failures: BTreeMap<String, u64>,
    /// The figures over time.
    pub timeline: Vec<Interval>,
    /// The opened connections.
    pub connections: Connections,
    /// The number of Decrypt responses whose plaintext was compared.
    pub verified: u64,
    /// The delays that this program itself added.
    pub generator: Generator,
    /// The steps of a ramp, in order. The other figures belong to its best step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// Counts and latencies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// The number of intended requests.
    pub requests: u64,
    /// The number of requests without a success.
    pub failed: u64,
    /// Requests per second.
    pub per_second: f64,
    /// The number of successes within KMS's 250 ms.
    pub within_patience: u64,
    /// The minimum latency.
    pub min_us: u64,
    /// The mean latency.
    pub mean_us: f64,
    /// The 50th percentile.
    pub p50_us: u64,
    /// The 90th percentile.
    pub p90_us: u64,
    /// The 99th percentile.
    pub p99_us: u64,
    /// The 99.9th percentile.
    pub p999_us: u64,
    /// The maximum latency.
    pub max_us: u64,
    /// The distribution: (microseconds, number of requests), ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distribution: Vec<(u64, u64)>,
}

/// The figures of an interval of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// The start of the interval, in seconds from the start of the run.
    pub second: f64,
    /// Requests per second that started in the interval.
    pub per_second: f64,
    /// The number of requests without a success.
    pub failed: u64,
    /// The 50th percentile.
    pub p50_us: u64,
    /// The 99th percentile.
    pub p99_us: u64,
    /// The maximum latency.
    pub max_us: u64,
}

/// The opened connections, with the time of TCP and TLS handshakes together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Connections {
    /// Their number.
    pub opened: u64,
    /// The 50th percentile.
    pub p50_us: u64,
    /// The 99th percentile.
    pub p99_us: u64,
    /// The maximum.
    pub max_us: u64,
}

/// The delays that this program itself added. If they are large, the run measured this program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Generator {
    /// The 50th percentile of the delay from the intended start to the real start of a request.
    pub lag_p50_us: u64,
    /// The 99th percentile.
    pub lag_p99_us: u64,
    /// The maximum.
    pub lag_max_us: u64,
    /// The CPU time of this program.
    pub cpu_us_per_request: f64,
}

/// A rate of a ramp.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Requests per second.
    pub rate: f64,
    /// The share of requests with a success within 250 ms, from 0 to 1.
    pub within_patience: f64,
    /// The 99th percentile of the latency.
    pub p99_us: u64,
    /// True if the target sustained this rate: 99.9 % succeeded within 250 ms.
    pub held: bool,
}

impl Figures {
    /// Returns the share of requests with a success within 250 ms; none without requests.
    pub fn share_within_timeout(&self) -> f64 {
        match self.requests {
            0 => 0.0,
            requests => self.within_patience as f64 / requests as f64,
        }
    }

    /// Returns the cumulative distribution: (microseconds, share of requests that were at most this slow), ascending.
    pub fn cumulative(&self) -> Vec<(u64, f64)> {
        let all: u64 = self.distribution.iter().map(|(_, count)| count).sum();
        let mut so_far = 0;
        let share = |(time, count): &(u64, u64)| {
            so_far += count;
            (*time, so_far as f64 / all.max(1) as f64)
        };
        self.distribution.iter().map(share).collect()
    }
}

impl Report {
    /// Parses a saved report.
    ///
    /// # Errors
    /// A message for the operator.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let report: Self =
            serde_json::from_slice(text).map_err(|e| format!("is not a saved report: {e}"))?;
        match report.format {
            FORMAT => Ok(report),
            other => Err(format!(
                "has format {other}; this program reads format {FORMAT}"
            )),
        }
    }

    /// Returns the report as JSON.
    pub fn to_json(&self) -> String {
        // Numbers and strings always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns whether every request succeeded; for a ramp, whether the target sustained a rate.
    pub fn is_good(&self) -> bool {
        match self.steps.is_empty() {
            true => self.total.failed == 0 && self.total.requests > 0,
            false => self.best_step().is_some(),
        }
    }

    /// Returns the highest rate of a ramp that the target sustained.
    pub fn best_step(&self) -> Option<&Step> {
        let held = self.steps.iter().filter(|step| step.held);
        held.max_by(|a, b| a.rate.total_cmp(&b.rate))
    }
}

/// Reports for the tests of other files.
#[cfg(test)]
pub mod samples {
    use super::*;

    /// Returns a report of `requests` requests that took `us` microseconds each.
    pub fn report(requests: u64, us: u64) -> Report {
        let figures = Figures {
            requests,
            within_patience: requests,
            per_second: 100.0,
            min_us: us,
            mean_us: us as f64,
            p50_us: us,
            p90_us: us,
            p99_us: us,
            p999_us: us,
            max_us: us,
            distribution: vec![(us, requests)],
            ..Figures::default()
        };
        let interval = |second: u32| Interval {
            second: f64::from(second),
            per_second: 100.0,
            failed: u64::from(second == 1),
            p50_us: us,
            p99_us: us,
            max_us: us,
        };
        Report {
            format: FORMAT,
            made_by: "xks-proxy 0".into(),
            started_at: "2026-01-01T00:00:00Z".into(),
            target: "https://localhost/<b>".into(),
            plan: "closed loop".into(),
            seconds: 2.0,
            operations: [("encrypt".to_owned(), figures.clone())].into(),
            total: figures,
            failures: [("timeout".to_owned(), 1)].into(),
            timeline: (0..2).map(interval).collect(),
            connections: Connections::default(),
            verified: 3,
            generator: Generator::default(),
            steps: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::report;
    use super::*;

    #[test]
    fn a_saved_report_is_read_again() {
        let saved = report(10, 1_500).to_json();
        let read = Report::parse(saved.as_bytes()).unwrap();
        assert_eq!(read.to_json(), saved);
        let other = saved.replace("\"format\":1", "\"format\":2");
        assert!(
            Report::parse(other.as_bytes())
                .unwrap_err()
                .contains("format 2")
        );
        assert!(Report::parse(b"{}").is_err());
    }

    #[test]
    fn shares_are_cumulative() {
        let figures = Figures {
            distribution: vec![(10, 3), (20, 1)],
            ..Figures::default()
        };
        assert_eq!(figures.cumulative(), [(10, 0.75), (20, 1.0)]);
        assert!(Figures::default().cumulative().is_empty());
    }
}
