//! Changes of the configuration of a running proxy.

use serde_json::Value;

use crate::harness::Proxy;
use crate::harness::metrics::eventually;
use crate::harness::setup::Setup;

impl Proxy {
    /// Changes the configuration file, and waits until the change is active.
    #[track_caller]
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Setup)) {
        let before = self.reloads("applied");
        change(&mut self.setup);
        self.setup.replace();
        self.await_reload("applied", before);
    }

    /// Replaces the configuration by a prepared text, and waits until it is active.
    #[track_caller]
    pub fn reconfigure_by(&self, text: &str) {
        let before = self.reloads("applied");
        self.setup.replace_by(text);
        self.await_reload("applied", before);
    }

    /// Returns the number of reloads with this outcome.
    #[track_caller]
    pub fn reloads(&self, outcome: &str) -> f64 {
        let labels = [("outcome", outcome)];
        self.metric("xks_config_reloads_total", &labels)
            .expect("a counter that is there from the start")
    }

    /// Waits for one more reload with this outcome.
    #[track_caller]
    pub fn await_reload(&self, outcome: &str, before: f64) {
        let labels = [("outcome", outcome)];
        let now = self.await_metric("xks_config_reloads_total", &labels, |now| now > before);
        if outcome == "applied" {
            // The log lines of the changes precede this line.
            eventually("the log of the change", || {
                (self.active_configurations() >= now).then_some(())
            });
        }
    }

    fn active_configurations(&self) -> f64 {
        let lines = self.daemon.log();
        let is_activation = |line: &&String| line.contains("new configuration active");
        lines.iter().filter(is_activation).count() as f64
    }

    /// Returns every change in the log, as place and kind.
    pub fn changes(&self) -> Vec<(String, String)> {
        let lines = self.daemon.log();
        let parsed = lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |line: &Value, field: &str| Some(line[field].as_str()?.to_owned());
        parsed
            .filter(|line| {
                let message = line["message"].as_str().unwrap_or_default();
                message.starts_with("configuration changed")
            })
            .filter_map(|line| Some((text(&line, "place")?, text(&line, "what")?)))
            .collect()
    }

    /// Returns whether the log contains this change.
    pub fn has_changed(&self, place: &str, what: &str) -> bool {
        self.changes()
            .contains(&(place.to_owned(), what.to_owned()))
    }
}
