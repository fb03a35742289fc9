//! Changing the configuration of a running proxy.

use serde_json::Value;

use super::Proxy;
use super::metrics::eventually;
use super::setup::Setup;

impl Proxy {
    /// Changes the configuration file, and waits until the change is in force.
    #[track_caller]
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Setup)) {
        let before = self.reloads("applied");
        change(&mut self.setup);
        self.setup.replace();
        self.await_reload("applied", before);
    }

    /// Puts a text that was made before into the place of the configuration, and waits until it is in force.
    #[track_caller]
    pub fn reconfigure_by(&self, text: &str) {
        let before = self.reloads("applied");
        self.setup.replace_by(text);
        self.await_reload("applied", before);
    }

    /// How many readings ended so.
    #[track_caller]
    pub fn reloads(&self, outcome: &str) -> f64 {
        let labels = [("outcome", outcome)];
        self.metric("xks_config_reloads_total", &labels)
            .expect("a counter that is there from the start")
    }

    /// Waits until there is one more reading that ended so.
    #[track_caller]
    pub fn await_reload(&self, outcome: &str, before: f64) {
        let labels = [("outcome", outcome)];
        let now = self.await_metric("xks_config_reloads_total", &labels, |now| now > before);
        if outcome == "applied" {
            // What has changed stands in the log before this line.
            eventually("the log of the change", || {
                (self.in_force() >= now).then_some(())
            });
        }
    }

    fn in_force(&self) -> f64 {
        let lines = self.daemon.log();
        let said = |line: &&String| line.contains("new configuration active");
        lines.iter().filter(said).count() as f64
    }

    /// Every change that the log names, with what it was.
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

    /// Whether the log names this change.
    pub fn has_changed(&self, place: &str, what: &str) -> bool {
        self.changes()
            .contains(&(place.to_owned(), what.to_owned()))
    }
}
