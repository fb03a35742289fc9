//! The measurements of a run: histograms in total, per operation and over time.
//!
//! # Invariants
//! - Every intended request is recorded once, with the time from its intended start until its end or timeout. A request that waited for
//!   a connection is slow, not missing: the figures have no coordinated omission.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::plan::{Plan, Shape};
use super::report::{Connections, Figures, Generator, Interval};
use crate::xks::Operation;

/// The longest time that the histograms distinguish.
const LONGEST: Duration = Duration::from_secs(120);

/// The maximum number of intervals of a run: a chart cannot show more.
const MAX_INTERVALS: u32 = 200;

/// The shortest interval: a shorter one has too few requests for a meaningful figure.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// The timeout of KMS.
pub const KMS_TIMEOUT: Duration = Duration::from_millis(250);

/// The measurement of one request.
#[derive(Debug)]
pub struct Sample {
    /// The operation.
    pub operation: Operation,
    /// The intended start, from the start of the run.
    pub intended: Duration,
    /// The delay until this program started the request.
    pub lag: Duration,
    /// The time from the intended start until the end.
    pub latency: Duration,
    /// The time of TCP connect and TLS handshake, if the request opened a connection.
    pub connected: Option<Duration>,
    /// True if the plaintext was compared.
    pub verified: bool,
    /// The error, as a text that is counted.
    pub failure: Option<String>,
}

/// The measurements so far.
pub struct Recording {
    width: Duration,
    total: Series,
    operations: BTreeMap<&'static str, Series>,
    moments: Vec<Series>,
    snapshot: Series,
    failures: BTreeMap<String, u64>,
    lag: Histogram<u64>,
    handshakes: Histogram<u64>,
    verified: u64,
}

struct Series {
    latencies: Histogram<u64>,
    failed: u64,
    within_patience: u64,
}

impl Recording {
    /// Creates an empty recording.
    pub fn new(plan: &Plan) -> Self {
        Self {
            width: (plan.duration / MAX_INTERVALS).max(SHORTEST_INTERVAL),
            total: Series::new(3),
            operations: BTreeMap::new(),
            moments: Vec::new(),
            snapshot: Series::new(2),
            failures: BTreeMap::new(),
            lag: histogram(2),
            handshakes: histogram(3),
            verified: 0,
        }
    }

    /// Records a request.
    pub fn record(&mut self, sample: &Sample) {
        self.total.record(sample);
        self.snapshot.record(sample);
        let operation = self.operations.entry(sample.operation.as_str());
        operation.or_insert_with(|| Series::new(3)).record(sample);
        self.record_interval(sample);
        self.lag.saturating_record(micros(sample.lag));
        if let Some(connected) = sample.connected {
            self.handshakes.saturating_record(micros(connected));
        }
        self.verified += u64::from(sample.verified);
        if let Some(failure) = &sample.failure {
            *self.failures.entry(failure.clone()).or_default() += 1;
        }
    }

    fn record_interval(&mut self, sample: &Sample) {
        let at = sample.intended.as_micros() / self.width.as_micros().max(1);
        // The last interval includes the requests of a run that lasts longer than planned.
        let at = usize::try_from(at).map_or(0, |at| at.min(2 * MAX_INTERVALS as usize));
        while self.moments.len() <= at {
            self.moments.push(Series::new(2));
        }
        if let Some(interval) = self.moments.get_mut(at) {
            interval.record(sample);
        }
    }

    /// Returns the figures since the last call.
    pub fn take_snapshot(&mut self, over: Duration) -> Figures {
        std::mem::replace(&mut self.snapshot, Series::new(2)).figures(over, false)
    }

    /// Returns the number of recorded requests.
    pub fn requests(&self) -> u64 {
        self.total.latencies.len()
    }

    /// Returns the total figures.
    pub fn total(&self, over: Duration) -> Figures {
        self.total.figures(over, true)
    }

    /// Returns the figures per operation.
    pub fn operations(&self, over: Duration) -> BTreeMap<String, Figures> {
        let figures =
            |(name, series): (&&str, &Series)| ((*name).to_owned(), series.figures(over, false));
        self.operations.iter().map(figures).collect()
    }

    /// Returns the figures over time. The last interval may be shorter than the others.
    pub fn timeline(&self, over: Duration) -> Vec<Interval> {
        let interval = |(n, series): (usize, &Series)| {
            let start = self.width * u32::try_from(n).unwrap_or(u32::MAX);
            let width = self.width.min(over.saturating_sub(start));
            series.interval(start, width.max(Duration::from_millis(1)))
        };
        self.moments.iter().enumerate().map(interval).collect()
    }

    /// Returns the number of failures per error text.
    pub fn failures(&self) -> BTreeMap<String, u64> {
        self.failures.clone()
    }

    /// Returns the figures of the opened connections.
    pub fn connections(&self) -> Connections {
        Connections {
            opened: self.handshakes.len(),
            p50_us: self.handshakes.value_at_quantile(0.5),
            p99_us: self.handshakes.value_at_quantile(0.99),
            max_us: self.handshakes.max(),
        }
    }

    /// Returns the delays that this program itself added.
    pub fn generator(&self, cpu: Duration) -> Generator {
        Generator {
            lag_p50_us: self.lag.value_at_quantile(0.5),
            lag_p99_us: self.lag.value_at_quantile(0.99),
            lag_max_us: self.lag.max(),
            cpu_us_per_request: match self.requests() {
                0 => 0.0,
                requests => cpu.as_micros() as f64 / requests as f64,
            },
        }
    }

    /// Returns the number of compared plaintexts.
    pub fn verified(&self) -> u64 {
        self.verified
    }
}

impl Series {
    fn new(digits: u8) -> Self {
        Self {
            latencies: histogram(digits),
            failed: 0,
            within_patience: 0,
        }
    }

    fn record(&mut self, sample: &Sample) {
        self.latencies.saturating_record(micros(sample.latency));
        match sample.failure {
            Some(_) => self.failed += 1,
            None => self.within_patience += u64::from(sample.latency <= KMS_TIMEOUT),
        }
    }

    fn figures(&self, over: Duration, with_distribution: bool) -> Figures {
        let latencies = &self.latencies;
        let distribution = match with_distribution {
            true => latencies
                .iter_recorded()
                .map(|value| (value.value_iterated_to(), value.count_at_value()))
                .collect(),
            false => Vec::new(),
        };
        Figures {
            requests: latencies.len(),
            failed: self.failed,
            per_second: latencies.len() as f64 / over.as_secs_f64().max(1e-9),
            within_patience: self.within_patience,
            min_us: latencies.min(),
            mean_us: latencies.mean(),
            p50_us: latencies.value_at_quantile(0.5),
            p90_us: latencies.value_at_quantile(0.9),
            p99_us: latencies.value_at_quantile(0.99),
            p999_us: latencies.value_at_quantile(0.999),
            max_us: latencies.max(),
            distribution,
        }
    }

    fn interval(&self, start: Duration, width: Duration) -> Interval {
        Interval {
            second: start.as_secs_f64(),
            per_second: self.latencies.len() as f64 / width.as_secs_f64(),
            failed: self.failed,
            p50_us: self.latencies.value_at_quantile(0.5),
            p99_us: self.latencies.value_at_quantile(0.99),
            max_us: self.latencies.max(),
        }
    }
}

/// Creates a histogram in microseconds with this many significant digits.
fn histogram(digits: u8) -> Histogram<u64> {
    // The bounds are constants that the crate accepts. Its only alternative is a histogram that grows without a limit.
    Histogram::new_with_bounds(1, LONGEST.as_micros() as u64, digits)
        .unwrap_or_else(|_| unreachable!("bounds and digits are constants"))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Shape {
    /// Returns whether the plan sets the rate.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(duration: Duration) -> Plan {
        Plan {
            shape: Shape::Closed,
            duration,
            connections: 1,
            timeout: KMS_TIMEOUT,
            mix: "encrypt".parse().unwrap(),
            sizes: "32".parse().unwrap(),
            aad: 0,
            integrity: true,
            new_connections: 0.0,
            verify_every: 0,
        }
    }

    fn sample(intended_ms: u64, latency_ms: u64, failure: Option<&str>) -> Sample {
        Sample {
            operation: Operation::Encrypt,
            intended: Duration::from_millis(intended_ms),
            lag: Duration::ZERO,
            latency: Duration::from_millis(latency_ms),
            connected: None,
            verified: false,
            failure: failure.map(str::to_owned),
        }
    }

    #[test]
    fn only_successes_in_time_are_within_the_timeout() {
        let mut recording = Recording::new(&plan(Duration::from_secs(1)));
        recording.record(&sample(0, 10, None));
        recording.record(&sample(1, 10, Some("ThrottlingException")));
        recording.record(&sample(2, 300, None));
        let total = recording.total(Duration::from_secs(2));
        assert_eq!(
            (total.requests, total.failed, total.within_patience),
            (3, 1, 1)
        );
        assert!((total.per_second - 1.5).abs() < 0.001);
        assert!(total.max_us >= 299_000 && total.min_us <= 10_100);
        let counted: u64 = total.distribution.iter().map(|(_, count)| count).sum();
        assert_eq!(counted, 3);
        assert_eq!(recording.failures().get("ThrottlingException"), Some(&1));
    }

    #[test]
    fn a_request_counts_in_the_interval_of_its_intended_start() {
        let mut recording = Recording::new(&plan(Duration::from_secs(1)));
        recording.record(&sample(950, 5_000, None));
        let timeline = recording.timeline(Duration::from_secs(1));
        assert_eq!(timeline.len(), 10);
        assert!(timeline[9].max_us > 4_900_000 && timeline[0].max_us == 0);
    }

    #[test]
    fn a_snapshot_covers_the_time_since_the_last_one() {
        let mut recording = Recording::new(&plan(Duration::from_secs(1)));
        recording.record(&sample(0, 1, None));
        assert_eq!(recording.take_snapshot(Duration::from_secs(1)).requests, 1);
        assert_eq!(recording.take_snapshot(Duration::from_secs(1)).requests, 0);
        assert_eq!(recording.requests(), 1);
    }
}
