//! A report for a terminal, and the comparison of two reports.

use super::report::{Figures, Report, Step};

/// Renders a report as a table and a few lines.
pub fn render(report: &Report) -> String {
    let mut text = format!("{}\n{}\n\n", report.target, report.plan);
    for step in &report.steps {
        line(&mut text, &step_line(step));
    }
    if !report.steps.is_empty() {
        line(&mut text, &ramp_line(report));
    }
    line(&mut text, HEAD);
    for (name, figures) in &report.operations {
        line(&mut text, &row(name, figures));
    }
    line(&mut text, &row("all", &report.total));
    text.push('\n');
    for (failure, count) in &report.failures {
        line(&mut text, &format!("failed {count} ×: {failure}"));
    }
    remarks(&mut text, report);
    text
}

/// Renders a step of a ramp.
pub fn step_line(step: &Step) -> String {
    let share = step.within_patience * 100.0;
    let result = if step.held { "held" } else { "NOT held" };
    let (rate, p99) = (step.rate, milli(step.p99_us));
    format!("{rate:>8.0}/s  {share:>7.3} % within 250 ms, p99 {p99} ms: {result}")
}

/// Renders the result of a ramp.
fn ramp_line(report: &Report) -> String {
    match report.best_step() {
        Some(best) => format!(
            "99.9 % succeed within 250 ms up to {:.0}/s; the figures below are of that step\n",
            best.rate
        ),
        None => "no rate was sustained; the figures below are of the lowest\n".to_owned(),
    }
}

const HEAD: &str = "           requests   failed  requests/s   p50 ms    p90 ms    p99 ms  p99.9 ms    max ms  ≤ 250 ms";

fn row(name: &str, f: &Figures) -> String {
    let share = f.share_within_timeout() * 100.0;
    let times = [f.p50_us, f.p90_us, f.p99_us, f.p999_us, f.max_us];
    let times: Vec<String> = times
        .iter()
        .map(|us| format!("{:>9}", milli(*us)))
        .collect();
    format!(
        "{name:<9}{:>10}{:>9}{:>12.1}{} {share:>7.2} %",
        f.requests,
        f.failed,
        f.per_second,
        times.join(" ")
    )
}

fn remarks(text: &mut String, report: &Report) {
    let (connections, generator) = (&report.connections, &report.generator);
    line(
        text,
        &format!(
            "connections opened: {} (TCP and TLS: p50 {} ms, p99 {} ms); decrypts compared: {}",
            connections.opened,
            milli(connections.p50_us),
            milli(connections.p99_us),
            report.verified
        ),
    );
    line(
        text,
        &format!(
            "this program: {:.0} µs of CPU per request; requests started late by p99 {} ms, at most {} ms",
            generator.cpu_us_per_request,
            milli(generator.lag_p99_us),
            milli(generator.lag_max_us)
        ),
    );
}

/// Renders the differences between an old and a new report, one figure per line.
pub fn comparison(old: &Report, new: &Report) -> String {
    let mut text = format!("compared with {} ({})\n", old.started_at, old.plan);
    if old.plan != new.plan || old.target != new.target {
        text.push_str("note: the two runs have different parameters\n");
    }
    line(&mut text, "                      old         new    change");
    let (a, b) = (&old.total, &new.total);
    change(&mut text, "requests/s", a.per_second, b.per_second);
    for (name, old_us, new_us) in [
        ("p50 ms", a.p50_us, b.p50_us),
        ("p90 ms", a.p90_us, b.p90_us),
        ("p99 ms", a.p99_us, b.p99_us),
        ("p99.9 ms", a.p999_us, b.p999_us),
        ("max ms", a.max_us, b.max_us),
    ] {
        change(&mut text, name, old_us as f64 / 1e3, new_us as f64 / 1e3);
    }
    let share = |f: &Figures| f.share_within_timeout() * 100.0;
    change(&mut text, "% ≤ 250 ms", share(a), share(b));
    change(&mut text, "failed", a.failed as f64, b.failed as f64);
    text
}

fn change(text: &mut String, name: &str, old: f64, new: f64) {
    let change = match old == 0.0 {
        true if new == 0.0 => "same".to_owned(),
        true => "-".to_owned(),
        false => format!("{:+.1} %", (new / old - 1.0) * 100.0),
    };
    line(
        text,
        &format!("{name:<12}{old:>12.2}{new:>12.2}{change:>10}"),
    );
}

/// Returns the increase of the 99th percentile over the old run in percent; negative if it decreased.
pub fn slowdown(old: &Report, new: &Report) -> f64 {
    let (old, new) = (old.total.p99_us.max(1), new.total.p99_us.max(1));
    (new as f64 / old as f64 - 1.0) * 100.0
}

/// Formats microseconds as milliseconds.
pub fn milli(us: u64) -> String {
    format!("{:.2}", us as f64 / 1e3)
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::report::samples::report;
    use super::*;

    #[test]
    fn a_comparison_has_each_change() {
        let (old, new) = (report(10, 1_000), report(10, 1_500));
        let text = comparison(&old, &new);
        assert!(text.contains("+50.0 %") && text.contains("same"), "{text}");
        assert!(!text.contains("note:"), "{text}");
        assert!((slowdown(&old, &new) - 50.0).abs() < 0.001);
    }

    #[test]
    fn a_ramp_reports_the_best_rate() {
        let mut found = report(10, 1_000);
        let step = |rate, held| Step {
            rate,
            within_patience: 1.0,
            p99_us: 7,
            held,
        };
        found.steps = vec![step(100.0, true), step(200.0, true), step(400.0, false)];
        let text = render(&found);
        assert!(text.contains("up to 200/s"), "{text}");
        assert!(text.contains("failed 1 ×: timeout"), "{text}");
        found.steps = vec![step(100.0, false)];
        assert!(render(&found).contains("no rate"));
    }
}
