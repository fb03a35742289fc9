//! Figures, their targets, and whether the targets are met.

use std::io::{self, Write as _};
use std::time::Duration;

use crate::connection::Outcome;

/// Prints a figure with an upper limit.
pub fn at_most(name: &str, value: f64, unit: &str, limit: f64) -> Outcome<()> {
    line(name, value, unit, &format!("≤ {limit}"), value <= limit)
}

/// Prints a figure with a lower limit.
pub fn at_least(name: &str, value: f64, unit: &str, limit: f64) -> Outcome<()> {
    line(name, value, unit, &format!("≥ {limit}"), value >= limit)
}

/// Prints a time that must be within this many seconds.
pub fn within(name: &str, taken: Option<Duration>, limit: f64) -> Outcome<()> {
    let seconds = taken.map_or(f64::INFINITY, |taken| taken.as_secs_f64());
    at_most(name, seconds, "s", limit)
}

/// Prints information without a target.
pub fn note(text: &str) -> Outcome<()> {
    Ok(writeln!(io::stderr(), "  {text}")?)
}

fn line(name: &str, value: f64, unit: &str, target: &str, met: bool) -> Outcome<()> {
    let digits = if value.fract() == 0.0 { 0 } else { 2 };
    let result = if met { "met" } else { "MISSED" };
    let value = format!("{value:.digits$} {unit}");
    note(&format!("{name}: {value} ({target}: {result})"))?;
    Ok(writeln!(
        io::stdout(),
        "{name}\t{}\t{target}\t{result}",
        value.trim_end()
    )?)
}

/// Returns the quantile of latencies, in milliseconds; 0 without latencies.
pub fn quantile(latencies: impl IntoIterator<Item = Duration>, quantile: f64) -> f64 {
    let mut latencies: Vec<Duration> = latencies.into_iter().collect();
    latencies.sort_unstable();
    let index = (latencies.len() as f64 * quantile) as usize;
    let latency = latencies.get(index).or(latencies.last());
    latency.map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}

/// Returns the mean of latencies, in milliseconds; 0 without latencies.
pub fn mean(latencies: impl Iterator<Item = Duration>) -> f64 {
    let (count, sum) = latencies.fold((0_u32, Duration::ZERO), |(count, sum), latency| {
        (count + 1, sum + latency)
    });
    (sum / count.max(1)).as_secs_f64() * 1e3
}
