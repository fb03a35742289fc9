//! The metric of settings in the files that are not active, with the reason of each.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use prometheus::IntGaugeVec;

use crate::metrics::{Metrics, MetricsError};
use crate::sync::poisoned;

/// The setting whose value is the server's certificate with its key.
const CERTIFICATE: &str = "server.tls.certificate";

/// The label value that stands for the whole configuration.
const WHOLE: &str = "configuration";

/// The metric `xks_reload_not_applied`. Clones share their state.
#[derive(Clone)]
pub(in crate::app) struct NotApplied {
    gauge: IntGaugeVec,
    /// The series that exist: settings with their reasons.
    shown: Arc<Mutex<BTreeSet<(String, &'static str)>>>,
}

impl NotApplied {
    /// Declares the metric.
    pub(in crate::app) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        let gauge = metrics.gauge(
            "xks_reload_not_applied",
            "Settings in the files that are not active (1), by reason: restart, invalid, not_opened, or the reason for which the certificate was rejected.",
            &["setting", "reason"],
        )?;
        Ok(Self {
            gauge,
            shown: Arc::default(),
        })
    }

    /// Sets the reason why the certificate in the files is not active; none if it is active.
    pub(in crate::app) fn show_certificate(&self, reason: Option<&'static str>) {
        let now = reason.map(|reason| (CERTIFICATE.to_owned(), reason));
        self.show(|(setting, _)| setting == CERTIFICATE, now);
    }

    /// Sets whether the whole configuration in the files is rejected.
    pub(in crate::app) fn show_whole(&self, is_rejected: bool) {
        let now = is_rejected.then(|| (WHOLE.to_owned(), "invalid"));
        self.show(|(setting, _)| setting == WHOLE, now);
    }

    /// Sets the settings that are not active for this reason.
    pub(in crate::app) fn show_settings(
        &self,
        reason: &'static str,
        settings: impl IntoIterator<Item = String>,
    ) {
        let now = settings.into_iter().map(|setting| (setting, reason));
        self.show(|(_, known)| *known == reason, now);
    }

    /// Replaces the series that `is_of_kind` selects. Unchanged series are not touched, because alerts measure how long a series exists.
    fn show(
        &self,
        is_of_kind: impl Fn(&(String, &'static str)) -> bool,
        now: impl IntoIterator<Item = (String, &'static str)>,
    ) {
        let now: BTreeSet<_> = now.into_iter().collect();
        let mut shown = self.shown.lock().unwrap_or_else(poisoned);
        let gone = shown.extract_if(.., |one| is_of_kind(one) && !now.contains(one));
        for (setting, reason) in gone {
            // The series exists, because it is in `shown`.
            drop(self.gauge.remove_label_values(&[&setting, reason]));
        }
        for (setting, reason) in &now {
            self.gauge.with_label_values(&[setting, *reason]).set(1);
        }
        shown.extend(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_a_series_while_it_is_not_active() {
        let metrics = Metrics::default();
        let reload = NotApplied::declare(&metrics).unwrap();
        let shown = || {
            let text = String::from_utf8(metrics.render().unwrap()).unwrap();
            let lines = text
                .lines()
                .filter(|line| line.starts_with("xks_reload_not_applied{"));
            let labels = lines.map(|line| line.split(['{', '}']).nth(1).unwrap().to_owned());
            labels.collect::<Vec<_>>().join(";")
        };
        assert_eq!(shown(), "");
        reload.show_certificate(Some("expired"));
        reload.show_settings("restart", ["audit".to_owned(), "log.format".to_owned()]);
        assert_eq!(
            shown(),
            "reason=\"expired\",setting=\"server.tls.certificate\";reason=\"restart\",setting=\"audit\";\
             reason=\"restart\",setting=\"log.format\""
        );
        reload.show_certificate(Some("chain"));
        reload.show_settings("restart", ["audit".to_owned()]);
        reload.show_whole(true);
        assert_eq!(
            shown(),
            "reason=\"chain\",setting=\"server.tls.certificate\";reason=\"invalid\",setting=\"configuration\";\
             reason=\"restart\",setting=\"audit\""
        );
        reload.show_certificate(None);
        reload.show_settings("restart", []);
        reload.show_whole(false);
        assert_eq!(shown(), "");
    }
}
