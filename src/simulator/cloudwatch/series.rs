//! The data points of metrics for the last three hours, one per minute.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use crate::sync::poisoned;

/// The retention of data points, in minutes. Metrics Insights queries cover at most this time.
const MINUTES: i64 = 180;

/// The metrics of all accounts and Regions.
#[derive(Default)]
pub(in crate::simulator) struct CloudWatch {
    series: Mutex<HashMap<MetricName, Points>>,
    /// The last certificate of the proxy of each store: its expiry (seconds since 1970) and common name.
    pub(super) certificates: Mutex<HashMap<String, (i64, String)>>,
}

/// The identity of a metric.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct MetricName {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) metric: &'static str,
    /// Sorted by name.
    pub(super) dimensions: Vec<(&'static str, String)>,
}

/// The measured values, by minutes since 1970.
pub(super) type Points = BTreeMap<i64, Statistics>;

/// The statistics of the values of one minute or a longer period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Statistics {
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Statistics {
    /// Returns the statistics of one value.
    pub(super) fn of(value: f64) -> Self {
        Self {
            count: 1.0,
            sum: value,
            least: value,
            most: value,
        }
    }

    /// Adds other values.
    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }
}

impl CloudWatch {
    /// Adds a value that was measured at `now`, in seconds since 1970.
    pub(super) fn put(&self, name: MetricName, value: f64, now: f64) {
        let minute = minute(now);
        let mut series = self.series.lock().unwrap_or_else(poisoned);
        let points = series.entry(name).or_default();
        add(points, minute, Statistics::of(value));
        while points
            .first_key_value()
            .is_some_and(|(first, _)| *first < minute - MINUTES)
        {
            points.pop_first();
        }
    }

    /// Returns the merged data points of all selected metrics.
    pub(super) fn merged(&self, is_wanted: impl Fn(&MetricName) -> bool) -> Points {
        let series = self.series.lock().unwrap_or_else(poisoned);
        let mut merged = Points::new();
        for (_, points) in series.iter().filter(|(name, _)| is_wanted(name)) {
            for (minute, statistics) in points {
                add(&mut merged, *minute, *statistics);
            }
        }
        merged
    }

    /// Returns the selected metrics.
    pub(super) fn names(&self, is_wanted: impl Fn(&MetricName) -> bool) -> Vec<MetricName> {
        let series = self.series.lock().unwrap_or_else(poisoned);
        let wanted = series.keys().filter(|name| is_wanted(name));
        wanted.cloned().collect()
    }
}

/// Adds values to the data point of the same time.
pub(super) fn add(points: &mut Points, at: i64, statistics: Statistics) {
    match points.get_mut(&at) {
        Some(before) => before.add(statistics),
        None => drop(points.insert(at, statistics)),
    }
}

/// Returns the minute of a time, both since 1970.
pub(super) fn minute(seconds: f64) -> i64 {
    (seconds / 60.0).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(store: &str) -> MetricName {
        MetricName {
            account: "111122223333".into(),
            region: "eu-west-1".into(),
            metric: "XksProxyLatency",
            dimensions: vec![("CustomKeyStoreId", store.into())],
        }
    }

    #[test]
    fn values_of_one_minute_are_one_data_point() {
        let watch = CloudWatch::default();
        for (value, at) in [(3.0, 60.0), (1.0, 119.9), (5.0, 120.0)] {
            watch.put(name("a"), value, at);
        }
        watch.put(name("b"), 9.0, 60.0);
        let points = watch.merged(|name| name.dimensions[0].1 == "a");
        let first = Statistics {
            count: 2.0,
            sum: 4.0,
            least: 1.0,
            most: 3.0,
        };
        assert_eq!(points, Points::from([(1, first), (2, Statistics::of(5.0))]));
        assert_eq!(watch.merged(|_| true)[&1].most, 9.0);
        assert_eq!(watch.names(|_| true).len(), 2);
    }

    #[test]
    fn old_points_are_dropped() {
        let watch = CloudWatch::default();
        watch.put(name("a"), 1.0, 0.0);
        watch.put(name("a"), 1.0, 60.0 * 181.0);
        assert_eq!(watch.merged(|_| true).len(), 1);
    }
}
