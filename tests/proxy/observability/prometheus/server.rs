//! A Prometheus for one test: on loopback, with a separate port and directory, and the shipped rules with scaled durations.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::SHIPPED;
use super::dashboard::{dashboard, panels, queries};
use crate::harness::Proxy;
use crate::harness::http::tcp;
use crate::harness::metrics::eventually;

const RULES: [&str; 2] = ["recording.rules.yml", "alerts.rules.yml"];

/// Texts in the shipped rules and their replacements in the test: windows and durations of seconds, and thresholds that a test reaches, but
/// not because the machine is busy. The unit tests with promtool use the real values. Each text must be in the rules.
const SCALED: [(&str, &str); 15] = [
    ("for: 10m\n", "for: 1s\n"),
    ("[1m]", "[4s]"),
    ("[5m]", "[4s]"),
    ("[30m]", "[6s]"),
    ("[1h]", "[8s]"),
    ("[6h]", "[10s]"),
    ("for: 1m\n", "for: 1s\n"),
    ("for: 5m\n", "for: 1s\n"),
    ("for: 1d\n", "for: 1s\n"),
    ("4294967296", "40"),
    ("< 3600)", "< 3)"),
    ("> 604800", "> 4"),
    ("< 86400", "< 3"),
    ("14.4 * 0.001", "0.3"),
    ("6 * 0.001", "0.2"),
];

/// A running Prometheus. It ends with the test.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Prometheus {
    /// Starts a Prometheus that scrapes this proxy twice a second.
    #[track_caller]
    pub fn start(proxy: &Proxy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        write_configuration(directory.path(), proxy.admin);
        let file = |name: &str| directory.path().join(name).display().to_string();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", file("data")))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(file("log")).unwrap())
            .spawn()
            .expect("prometheus is missing: run tests/run, or install the package");
        let address = eventually("a Prometheus that listens", || {
            listening_at(&fs::read_to_string(file("log")).unwrap())
        });
        let prometheus = Self {
            child,
            address,
            directory,
        };
        eventually("a Prometheus that is ready", || {
            let answer = get(address, "/-/ready").ok()?;
            answer.starts_with("HTTP/1.0 200 ").then_some(())
        });
        prometheus
    }

    /// Returns the current result of a query.
    #[track_caller]
    pub fn query(&self, query: &str) -> Vec<Value> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let target = format!("/api/v1/query?query={encoded}");
        let answer = get(self.address, &target).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200 "), "{query}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        body["data"]["result"].as_array().unwrap().clone()
    }

    /// Returns whether the alert fires now.
    fn fires(&self, alert: &str) -> bool {
        !self.query(&firing(alert)).is_empty()
    }

    /// Returns whether the alert fires now or has fired since the start.
    pub fn has_fired(&self, alert: &str) -> bool {
        let query = format!("max_over_time({}[1h])", firing(alert));
        !self.query(&query).is_empty()
    }

    /// Waits until each of the alerts has fired. They need not fire at the same time.
    #[track_caller]
    pub fn await_fired(&self, alerts: &[&str]) {
        for alert in alerts {
            eventually(&format!("{alert} fires"), || {
                self.has_fired(alert).then_some(())
            });
        }
    }

    /// Waits until none of the alerts fires any more. Each must have fired.
    #[track_caller]
    pub fn await_quiet(&self, alerts: &[&str]) {
        for alert in alerts {
            assert!(self.has_fired(alert), "{alert} has not fired");
            eventually(&format!("{alert} clears"), || {
                (!self.fires(alert)).then_some(())
            });
        }
    }

    /// Runs every query of the dashboard. Each must return a number.
    #[track_caller]
    pub fn assert_no_panel_is_empty(&self) {
        for panel in panels(&dashboard()) {
            for query in queries(panel) {
                let is_number = |series: &Value| series["value"][1] != "NaN";
                let is_empty = !self.query(&query).iter().any(is_number);
                assert!(!is_empty, "an empty panel: {}: {query}", panel["title"]);
            }
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("log"));
            eprintln!("--- Prometheus's log ---\n{}", log.unwrap_or_default());
        }
    }
}

/// Returns the names of all shipped alerts.
pub fn alerts() -> Vec<String> {
    let rules = shipped("alerts.rules.yml");
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(!names.is_empty(), "no alert in:\n{rules}");
    names
}

fn firing(alert: &str) -> String {
    format!("ALERTS{{alertname={alert:?},alertstate=\"firing\"}}")
}

fn shipped(name: &str) -> String {
    fs::read_to_string(format!("{SHIPPED}/{name}")).unwrap()
}

fn write_configuration(directory: &Path, target: SocketAddr) {
    let all: String = RULES.iter().map(|name| shipped(name)).collect();
    for (from, _) in SCALED {
        assert!(all.contains(from), "no rule contains {from:?}");
    }
    for name in RULES {
        let scaled = SCALED
            .iter()
            .fold(shipped(name), |text, (from, to)| text.replace(from, to));
        fs::write(directory.join(name), scaled).unwrap();
    }
    let configuration = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n\
         rule_files: [{}]\n\
         scrape_configs: [{{job_name: xks-proxy, static_configs: [{{targets: [\"{target}\"]}}]}}]\n",
        RULES.join(", ")
    );
    fs::write(directory.join("prometheus.yml"), configuration).unwrap();
}

/// Sends a GET request with HTTP/1.0, so that the response is not chunked.
fn get(address: SocketAddr, target: &str) -> io::Result<String> {
    let mut socket = tcp(address)?;
    socket.write_all(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Returns the address in the log of Prometheus.
fn listening_at(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("msg=\"Listening on\" address=")?;
    let (address, _) = rest.split_once('\n')?;
    Some(address.parse().unwrap())
}
