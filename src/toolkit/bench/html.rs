//! A report as one HTML file with tables and charts. It loads nothing from the network.

use super::report::{Figures, Interval, Report};
use super::svg::{Axis, Line, chart, escaped, legend};
use super::text::milli;

/// KMS's timeout in milliseconds, marked in the charts.
const KMS_TIMEOUT_MS: f64 = 250.0;

/// The maximum number of points in a chart of a distribution.
const POINTS: usize = 400;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222;background:#fff}\
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse;width:100%}\
th,td{text-align:right;padding:.25em .6em;border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}\
svg{width:100%;height:auto}.legend svg{width:24px;height:8px;margin-left:1em}svg text{font-size:11px;fill:#555}\
.grid{stroke:#e4e4e4}.limit{stroke:#c00;stroke-dasharray:2 3}polyline{fill:none;stroke-width:1.6}\
.a{stroke:#1f6fb4}.b{stroke:#d9822b}.c{stroke:#a33}.d{stroke:#2b8a3e}.old{stroke:#999;stroke-dasharray:5 3}\
.legend line{stroke-width:3}";

/// Renders a report, next to an older one if given.
pub fn render(report: &Report, old: Option<&Report>) -> String {
    let mut body = format!(
        "<h1>{}</h1>\n<p>{}<br>{}, {}</p>\n",
        escaped(&report.target),
        escaped(&report.plan),
        escaped(&report.started_at),
        escaped(&report.made_by)
    );
    body += &figures(report, old);
    body += &ramp(report);
    body += "<h2>Latency over time</h2>\n";
    body += &latency_over_time(report);
    body += "<h2>Latency by percentile</h2>\n";
    body += &percentiles(report, old);
    body += "<h2>Requests over time</h2>\n";
    body += &requests_over_time(report);
    body += &failures(report);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>xks-proxy bench</title>\n\
         <style>{STYLE}</style></head>\n<body>\n{body}\
         <p>Latency counts from the intended start of a request. The dotted line marks the timeout of KMS: 250 ms.</p>\n\
         </body></html>\n"
    )
}

fn figures(report: &Report, old: Option<&Report>) -> String {
    let mut rows = String::new();
    for (name, figures) in &report.operations {
        rows += &row(name, figures);
    }
    rows += &row("all", &report.total);
    if let Some(old) = old {
        rows += &row(&format!("all, {}", old.started_at), &old.total);
    }
    let head = [
        "",
        "requests",
        "failed",
        "/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "≤ 250 ms",
    ];
    format!(
        "<table><tr>{}</tr>\n{rows}</table>\n",
        cells("th", &head.map(str::to_owned))
    )
}

fn row(name: &str, f: &Figures) -> String {
    let cells_of_row = [
        name.to_owned(),
        f.requests.to_string(),
        f.failed.to_string(),
        format!("{:.1}", f.per_second),
        milli(f.p50_us),
        milli(f.p90_us),
        milli(f.p99_us),
        milli(f.p999_us),
        milli(f.max_us),
        format!("{:.3} %", f.share_within_timeout() * 100.0),
    ];
    format!("<tr>{}</tr>\n", cells("td", &cells_of_row))
}

fn cells(tag: &str, texts: &[String]) -> String {
    let cell = |text: &String| format!("<{tag}>{}</{tag}>", escaped(text));
    texts.iter().map(cell).collect()
}

fn ramp(report: &Report) -> String {
    if report.steps.is_empty() {
        return String::new();
    }
    let head = ["rate /s", "good within 250 ms", "p99 ms", ""].map(str::to_owned);
    let mut rows = format!("<tr>{}</tr>\n", cells("th", &head));
    for step in &report.steps {
        let held = if step.held { "held" } else { "not held" };
        let share = format!("{:.3} %", step.within_patience * 100.0);
        let texts = [
            format!("{:.0}", step.rate),
            share,
            milli(step.p99_us),
            held.to_owned(),
        ];
        rows += &format!("<tr>{}</tr>\n", cells("td", &texts));
    }
    format!("<h2>Ramp</h2>\n<table>{rows}</table>\n")
}

fn latency_over_time(report: &Report) -> String {
    let line = |name: &str, class, value: fn(&Interval) -> u64| Line {
        name: name.to_owned(),
        class,
        points: points(report, |interval| value(interval) as f64 / 1e3),
    };
    let lines = [
        line("median", "a", |interval| interval.p50_us),
        line("99th percentile", "b", |interval| interval.p99_us),
        line("slowest", "c", |interval| interval.max_us),
    ];
    let slowest = report.total.max_us as f64 / 1e3;
    let y = Axis::logarithmic(
        "ms",
        report.total.min_us as f64 / 1e3,
        slowest.max(KMS_TIMEOUT_MS),
    );
    legend(&lines) + &chart(&seconds(report), &y, &lines, Some(KMS_TIMEOUT_MS))
}

fn requests_over_time(report: &Report) -> String {
    let lines = [
        Line {
            name: "requests per second".into(),
            class: "d",
            points: points(report, |interval| interval.per_second),
        },
        Line {
            name: "failed, in that moment".into(),
            class: "c",
            points: points(report, |interval| interval.failed as f64),
        },
    ];
    let all = lines.iter().flat_map(|line| &line.points);
    let greatest = all.map(|(_, value)| *value).fold(1.0, f64::max);
    legend(&lines)
        + &chart(
            &seconds(report),
            &Axis::linear("requests", greatest),
            &lines,
            None,
        )
}

fn seconds(report: &Report) -> Axis {
    let last = report
        .timeline
        .last()
        .map_or(1.0, |interval| interval.second);
    Axis::linear("seconds", last.max(0.1))
}

fn points(report: &Report, value: impl Fn(&Interval) -> f64) -> Vec<(f64, f64)> {
    let point = |interval: &Interval| (interval.second, value(interval));
    report.timeline.iter().map(point).collect()
}

/// The x axis has 90 %, 99 %, 99.9 % … at equal distances.
fn percentiles(report: &Report, old: Option<&Report>) -> String {
    let mut lines = vec![Line {
        name: "this run".into(),
        class: "a",
        points: nines(&report.total),
    }];
    if let Some(old) = old {
        let name = format!("the run of {}", old.started_at);
        let points = nines(&old.total);
        lines.push(Line {
            name,
            class: "old",
            points,
        });
    }
    let times = || {
        lines
            .iter()
            .flat_map(|line| &line.points)
            .map(|(_, ms)| *ms)
    };
    let (least, greatest) = (
        times().fold(1e9, f64::min),
        times().fold(KMS_TIMEOUT_MS, f64::max),
    );
    let y = Axis::logarithmic("ms", least.min(greatest), greatest);
    let requests = report.total.requests.max(10) as f64;
    let mut x = Axis::logarithmic("percentile of requests", 1.0, requests);
    for (nines, label) in &mut x.ticks {
        *label = format!("{} %", (100.0 - 100.0 / *nines).clamp(0.0, 99.999_999));
    }
    legend(&lines) + &chart(&x, &y, &lines, Some(KMS_TIMEOUT_MS))
}

/// Returns the distribution as (1 / share of slower requests, milliseconds), reduced to the points that a chart can show.
fn nines(figures: &Figures) -> Vec<(f64, f64)> {
    let all = figures.requests.max(1) as f64;
    let point = |(us, share): (u64, f64)| {
        let slower = (1.0 - share).max(1.0 / (2.0 * all));
        (1.0 / slower, us as f64 / 1e3)
    };
    let points: Vec<_> = figures.cumulative().into_iter().map(point).collect();
    let every = points.len().div_ceil(POINTS).max(1);
    // Keeps all of the last points: the tail matters most.
    let tail = points.len().saturating_sub(50);
    let kept = |(n, _): &(usize, (f64, f64))| n % every == 0 || *n >= tail;
    points
        .into_iter()
        .enumerate()
        .filter(kept)
        .map(|(_, point)| point)
        .collect()
}

fn failures(report: &Report) -> String {
    if report.failures.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for (failure, count) in &report.failures {
        rows += &format!(
            "<tr>{}</tr>\n",
            cells("td", &[failure.clone(), count.to_string()])
        );
    }
    format!("<h2>Failures</h2>\n<table>{rows}</table>\n")
}

#[cfg(test)]
mod tests {
    use super::super::report::samples::report;
    use super::*;

    #[test]
    fn the_page_needs_no_network_and_runs_no_script() {
        let page = render(&report(100, 1_500), Some(&report(100, 2_500)));
        for stranger in ["<script", "src=", "href=", "url(", "@import", "<b>"] {
            assert!(!page.contains(stranger), "{stranger}");
        }
        assert_eq!(page.matches("<svg viewBox=\"0 0 860").count(), 3);
        assert!(page.contains("timeout") && page.contains("class=\"old\""));
    }

    #[test]
    fn the_tail_of_a_distribution_is_drawn_whole() {
        let mut figures = report(1, 1).total;
        figures.distribution = (1..=5_000).map(|us| (us, 1)).collect();
        figures.requests = 5_000;
        let points = nines(&figures);
        assert!(points.len() < 500, "{}", points.len());
        let (nines, ms) = points[points.len() - 1];
        assert!((nines - 10_000.0).abs() < 1e-6 && (ms - 5.0).abs() < 1e-9);
        assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }

    #[test]
    fn an_empty_run_has_a_page() {
        let mut empty = report(0, 0);
        empty.timeline.clear();
        empty.total.distribution.clear();
        let page = render(&empty, None);
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
