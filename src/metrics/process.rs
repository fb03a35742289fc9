//! Metrics of the front process, read from `/proc/self` at each scrape. They do not include the launcher and the workers. Names and meanings are
//! those of the Prometheus client libraries.
//!
//! A value that the kernel does not provide is missing from the scrape: a zero would look like a measurement.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Opts};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Reads a value. None when the operating system does not report it.
type Read = fn() -> Option<f64>;

/// A metric, and the function that reads its value.
struct Reading {
    gauge: Gauge,
    read: Read,
}

/// The gauges that are read at each scrape: name, help and function.
const GAUGES: [(&str, &str, Read); 5] = [
    (
        "process_open_fds",
        "Number of open file descriptors.",
        open_descriptors,
    ),
    (
        "process_max_fds",
        "Maximum number of open file descriptors.",
        max_descriptors,
    ),
    (
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        resident_bytes,
    ),
    (
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
        virtual_bytes,
    ),
    ("process_threads", "Number of threads.", threads),
];

/// The collector of all process metrics.
pub(super) struct ProcessCollector {
    readings: Vec<Reading>,
    cpu: prometheus::Counter,
    start: Gauge,
}

impl ProcessCollector {
    /// Declares the metrics, and sets the start time of the process to now.
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let reading = |(name, help, read)| {
            let gauge = Gauge::new(name, help)?;
            Ok(Reading { gauge, read })
        };
        let readings = GAUGES.into_iter().map(reading);
        let readings = readings.collect::<Result<_, prometheus::Error>>()?;
        let cpu = Opts::new(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
        );
        Ok(Self {
            readings,
            cpu: prometheus::Counter::with_opts(cpu)?,
            start: start_time()?,
        })
    }
}

/// Declares the start time of the process, and sets it to now.
fn start_time() -> Result<Gauge, prometheus::Error> {
    let start = Gauge::new(
        "process_start_time_seconds",
        "Start time of the process since the Unix epoch in seconds.",
    )?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    start.set(now.unwrap_or_default().as_secs_f64());
    Ok(start)
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self
            .readings
            .iter()
            .flat_map(|reading| reading.gauge.desc());
        gauges
            .chain(self.cpu.desc())
            .chain(self.start.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.cpu.inc_by((cpu_seconds() - self.cpu.get()).max(0.0));
        let mut families = self.cpu.collect();
        families.extend(self.start.collect());
        for reading in &self.readings {
            let Some(value) = (reading.read)() else {
                continue;
            };
            reading.gauge.set(value);
            families.extend(reading.gauge.collect());
        }
        families
    }
}

fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Returns the number of open descriptors. The descriptor that reads the directory is not counted.
fn open_descriptors() -> Option<f64> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(listed.saturating_sub(1) as f64)
}

/// Returns the limit of open descriptors. None when descriptors are unlimited.
fn max_descriptors() -> Option<f64> {
    getrlimit(Resource::Nofile)
        .current
        .map(|limit| limit as f64)
}

fn resident_bytes() -> Option<f64> {
    status("VmRSS:").map(|kibibytes| kibibytes * 1024.0)
}

fn virtual_bytes() -> Option<f64> {
    status("VmSize:").map(|kibibytes| kibibytes * 1024.0)
}

fn threads() -> Option<f64> {
    status("Threads:")
}

/// Returns the number that follows this name in `/proc/self/status`.
fn status(name: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(families: &[MetricFamily], name: &str) -> f64 {
        let family = families
            .iter()
            .find(|family| family.name() == name)
            .unwrap();
        let metric = &family.get_metric()[0];
        metric.get_gauge().get_value() + metric.get_counter().get_value()
    }

    #[test]
    fn every_metric_has_a_plausible_value() {
        let collector = ProcessCollector::new().unwrap();
        let families = collector.collect();
        assert_eq!(families.len(), collector.desc().len());
        for family in &families {
            assert!(value(&families, family.name()) > 0.0, "{}", family.name());
        }
        let (resident, virtual_size) = (
            value(&families, "process_resident_memory_bytes"),
            value(&families, "process_virtual_memory_bytes"),
        );
        assert!(resident < virtual_size, "{resident} {virtual_size}");
    }

    #[test]
    fn an_opened_file_is_counted() {
        let before = open_descriptors().unwrap();
        // Other tests open and close files at the same time. This test opens many more.
        let files: Vec<fs::File> = (0..200)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        assert!(open_descriptors().unwrap() >= before + 100.0);
        drop(files);
    }

    #[test]
    fn cpu_time_never_decreases() {
        let collector = ProcessCollector::new().unwrap();
        let first = value(&collector.collect(), "process_cpu_seconds_total");
        let second = value(&collector.collect(), "process_cpu_seconds_total");
        assert!(second >= first);
    }
}
