//! The outcome of a run, as it is saved and compared. Times are microseconds from the intended start of a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The form of a saved report; another number is another form.
pub const FORMAT: u32 = 1;

/// The outcome of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The `FORMAT` of the program that saved it.
    pub format: u32,
    /// The program and its version.
    pub made_by: String,
    /// When the run began, RFC 3339.
    pub started_at: String,
    /// What was asked.
    pub target: String,
    /// How, in words.
    pub plan: String,
    /// How long requests were begun, in seconds.
    pub seconds: f64,
    /// In all.
    pub total: Figures,
    /// By operation.
    pub operations: BTreeMap<String, Figures>,
    /// What went wrong, how often: error names of the API, or what happened to the connection.
    pub failures: BTreeMap<String, u64>,
    /// Over time.
    pub timeline: Vec<Moment>,
    /// Connections that were opened.
    pub connections: Connections,
    /// Decrypts whose plaintext was compared.
    pub verified: u64,
    /// What this program itself added.
    pub generator: Generator,
    /// The steps of a ramp, in the order in which they were tried. The other figures are of the best of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// Counts and latencies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Requests that were intended.
    pub requests: u64,
    /// Those without a good answer.
    pub failed: u64,
    /// Requests per second.
    pub per_second: f64,
    /// Good answers within the 250 ms of KMS.
    pub within_patience: u64,
    /// The quickest.
    pub min_us: u64,
    /// On average.
    pub mean_us: f64,
    /// Half were quicker.
    pub p50_us: u64,
    /// Nine of ten were quicker.
    pub p90_us: u64,
    /// 99 of 100 were quicker.
    pub p99_us: u64,
    /// 999 of 1,000 were quicker.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
    /// How many requests took so long: (microseconds, count), ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distribution: Vec<(u64, u64)>,
}

/// A short while of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// When it began, in seconds from the start.
    pub second: f64,
    /// Requests per second that began then.
    pub per_second: f64,
    /// Those without a good answer.
    pub failed: u64,
    /// Half were quicker.
    pub p50_us: u64,
    /// 99 of 100 were quicker.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// Connections that were opened, and how long TCP and TLS took together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Connections {
    /// How many.
    pub opened: u64,
    /// Half were quicker.
    pub p50_us: u64,
    /// 99 of 100 were quicker.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// What this program itself added: a run whose generator lags measures the generator.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Generator {
    /// From the intended start until this program got to it: half were quicker.
    pub lag_p50_us: u64,
    /// 99 of 100 were quicker.
    pub lag_p99_us: u64,
    /// The slowest.
    pub lag_max_us: u64,
    /// CPU time of this program.
    pub cpu_us_per_request: f64,
}

/// One rate of a ramp.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Requests per second.
    pub rate: f64,
    /// Which share had a good answer within 250 ms, from 0 to 1.
    pub within_patience: f64,
    /// 99 of 100 were quicker.
    pub p99_us: u64,
    /// Whether 99.9 % were served well.
    pub held: bool,
}

impl Figures {
    /// Which share had a good answer within 250 ms; none without requests.
    pub fn share_within_patience(&self) -> f64 {
        match self.requests {
            0 => 0.0,
            requests => self.within_patience as f64 / requests as f64,
        }
    }

    /// Which share was at most so slow, for each time that occurred: (microseconds, share), ascending.
    pub fn cumulated(&self) -> Vec<(u64, f64)> {
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
    /// A report that was saved.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let report: Self =
            serde_json::from_slice(text).map_err(|e| format!("is not a saved report: {e}"))?;
        match report.format {
            FORMAT => Ok(report),
            other => Err(format!(
                "is of form {other}; this program reads form {FORMAT}"
            )),
        }
    }

    /// The report as JSON.
    pub fn to_json(&self) -> String {
        // Numbers and strings always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether every request had a good answer; of a ramp, whether some rate held.
    pub fn is_good(&self) -> bool {
        match self.steps.is_empty() {
            true => self.total.failed == 0 && self.total.requests > 0,
            false => self.best_step().is_some(),
        }
    }

    /// The highest rate of a ramp that was served well.
    pub fn best_step(&self) -> Option<&Step> {
        let held = self.steps.iter().filter(|step| step.held);
        held.max_by(|a, b| a.rate.total_cmp(&b.rate))
    }
}

/// Reports for the tests of other files.
#[cfg(test)]
pub mod samples {
    use super::*;

    /// A report of `requests` requests that took `us` each.
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
        let moment = |second: u32| Moment {
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
            timeline: (0..2).map(moment).collect(),
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
    fn what_is_saved_is_read_again() {
        let saved = report(10, 1_500).to_json();
        let read = Report::parse(saved.as_bytes()).unwrap();
        assert_eq!(read.to_json(), saved);
        let other = saved.replace("\"format\":1", "\"format\":2");
        assert!(
            Report::parse(other.as_bytes())
                .unwrap_err()
                .contains("form 2")
        );
        assert!(Report::parse(b"{}").is_err());
    }

    #[test]
    fn shares_are_cumulated() {
        let figures = Figures {
            distribution: vec![(10, 3), (20, 1)],
            ..Figures::default()
        };
        assert_eq!(figures.cumulated(), [(10, 0.75), (20, 1.0)]);
        assert!(Figures::default().cumulated().is_empty());
    }
}
