//! The metrics of each response besides its count and its duration: the objective, errors, the time of each stage, and signatures.
//!
//! # Invariants
//! - No label value is chosen by a client: key stores come from the configuration, all other values from lists in the code.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounterVec};

use super::record::{Facts, SignatureCheck};
use crate::audit::Outcome;
use crate::metrics::{Metrics, MetricsError};
use crate::operations::Cost;
use crate::xks::{ErrorName, Fault, Operation};

/// The objective: the time within which KMS requires the response (XKS API, "Overview").
const OBJECTIVE: Duration = Duration::from_millis(250);

/// The stages of a request.
const STAGES: [&str; 5] = ["authentication", "queue", "device", "audit", "rest"];

/// The metrics of responses; cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct ResponseMetrics {
    objective: IntCounterVec,
    errors: IntCounterVec,
    denied: IntCounterVec,
    skew: GaugeVec,
    /// The histograms by operation, in the order of [`Operation::ALL`]. They are looked up once and shared, because every request has a clone of this.
    stages: Arc<[[Histogram; STAGES.len()]; Operation::ALL.len()]>,
}

impl ResponseMetrics {
    pub(in crate::server) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        let stages = metrics.latency(
            "xks_request_stage_duration_seconds",
            "Time of served requests by stage (authentication, queue, device, audit, rest). Adds up all jobs of a request.",
            &["operation", "stage"],
        )?;
        Ok(Self {
            objective: metrics.counter(
                "xks_objective_requests_total",
                "Verified requests, by whether they met the objective: answered within 250 ms without a retryable error, while the client was connected.",
                &["store", "met"],
            )?,
            errors: metrics.counter(
                "xks_errors_total",
                "Error responses, by errorName and by whether AWS counts the error as retryable.",
                &["store", "operation", "error", "retryable"],
            )?,
            denied: metrics.counter(
                "xks_authentication_failures_total",
                "Requests with an invalid signature, by reason.",
                &["store", "reason"],
            )?,
            skew: metrics.real_gauge(
                "xks_signature_clock_skew_seconds",
                "Clock of the proxy minus X-Amz-Date of the last verified request. Includes the transit time and the rounding to whole seconds.",
                &["store"],
            )?,
            stages: Arc::new(Operation::ALL.map(|operation| histograms(&stages, operation))),
        })
    }

    /// Counts a response.
    pub(in crate::server) fn count(&self, facts: &Facts, duration: Duration) {
        let store = facts.key_store.as_deref();
        // A client that has disconnected has not received the error.
        if let Some(fault) = facts.fault.as_ref().filter(|_| !facts.has_disconnected) {
            self.count_error(facts, fault);
        }
        if let Some(store) = store {
            // Unverified requests must change neither the error budget nor the number of requests from which it is computed.
            if facts.is_verified() {
                self.count_objective(store, facts, duration);
            }
            self.count_signature(store, &facts.signature);
        }
        if let (Some(operation), Outcome::Ok) = (facts.operation, facts.outcome()) {
            self.observe_stages(operation, split(facts, duration));
        }
    }

    /// Removes the clock skew of all key stores, because a reload may have changed the stores. The next verified request of a store sets it again.
    pub(in crate::server) fn reset_skews(&self) {
        self.skew.reset();
    }

    fn count_error(&self, facts: &Facts, fault: &Fault) {
        let store = facts.key_store.as_deref().unwrap_or("none");
        let operation = facts.operation.map_or("none", Operation::as_str);
        let name = fault.kind.name();
        let labels = [
            store,
            operation,
            name.as_str(),
            yes_or_no(name.is_retryable()),
        ];
        self.errors.with_label_values(&labels).inc();
    }

    fn count_objective(&self, store: &str, facts: &Facts, duration: Duration) {
        let name = facts.fault.as_ref().map(|fault| fault.kind.name());
        let is_final = !facts.has_disconnected && !name.is_some_and(ErrorName::is_retryable);
        let met = is_final && duration <= OBJECTIVE;
        self.objective
            .with_label_values(&[store, yes_or_no(met)])
            .inc();
    }

    fn count_signature(&self, store: &str, signature: &SignatureCheck) {
        if let Some(reason) = signature.denied {
            self.denied.with_label_values(&[store, reason]).inc();
        }
        if let Some(skew) = signature.skew {
            self.skew.with_label_values(&[store]).set(skew);
        }
    }

    fn observe_stages(&self, operation: Operation, times: [Duration; STAGES.len()]) {
        let mut known = Operation::ALL.iter().zip(self.stages.iter());
        if let Some((_, stages)) = known.find(|(known, _)| **known == operation) {
            for (stage, time) in stages.iter().zip(times) {
                stage.observe(time.as_secs_f64());
            }
        }
    }
}

fn histograms(stages: &HistogramVec, operation: Operation) -> [Histogram; STAGES.len()] {
    STAGES.map(|stage| stages.with_label_values(&[operation.as_str(), stage]))
}

/// Splits the duration of a request into its stages, in the order of [`STAGES`].
fn split(facts: &Facts, all: Duration) -> [Duration; STAGES.len()] {
    let Cost { queued, worked, .. } = facts.cost;
    let (authentication, audit) = (facts.signature.took, facts.audited.unwrap_or_default());
    let rest = all.saturating_sub(authentication + queued + worked + audit);
    [authentication, queued, worked, audit, rest]
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::AccessKeyId;
    use crate::xks::FaultKind;

    fn counted_facts(facts: &Facts, millis: u64) -> String {
        let metrics = Metrics::default();
        let responses = ResponseMetrics::declare(&metrics).unwrap();
        responses.count(facts, Duration::from_millis(millis));
        String::from_utf8(metrics.render().unwrap()).unwrap()
    }

    fn facts(fault: Option<Fault>) -> Facts {
        Facts {
            operation: Some(Operation::Encrypt),
            key_store: Some("payments".into()),
            access_key_id: AccessKeyId::parse("AAAAAAAAAAAAAAAAAAAA").ok(),
            fault,
            ..Facts::default()
        }
    }

    fn counted(fault: Option<Fault>, millis: u64) -> String {
        counted_facts(&facts(fault), millis)
    }

    #[test]
    fn late_responses_and_retryable_errors_miss_the_objective() {
        for (fault, millis, met) in [
            (None, 250, true),
            (None, 251, false),
            (Some(FaultKind::BodyMalformed), 1, true),
            (Some(FaultKind::DeviceFailed), 1, false),
        ] {
            let text = counted(fault.map(Fault::from), millis);
            let line =
                format!("xks_objective_requests_total{{met=\"{met}\",store=\"payments\"}} 1");
            assert!(text.contains(&line), "{fault:?} {millis}: {text}");
        }
    }

    #[test]
    fn unverified_requests_do_not_count_for_the_objective() {
        for has_disconnected in [false, true] {
            let facts = Facts {
                has_disconnected,
                access_key_id: None,
                ..facts(Some(FaultKind::Overloaded.into()))
            };
            let text = counted_facts(&facts, 1);
            assert!(!text.contains("xks_objective_requests_total{"), "{text}");
        }
    }

    #[test]
    fn only_a_verified_request_misses_the_objective_when_its_client_disconnects() {
        for (is_verified, fault) in [
            (true, None),
            (true, Some(FaultKind::DeviceFailed)),
            (false, None),
        ] {
            let facts = Facts {
                has_disconnected: true,
                ..facts(fault.map(Fault::from))
            };
            let facts = match is_verified {
                true => facts,
                false => Facts {
                    access_key_id: None,
                    ..facts
                },
            };
            let text = counted_facts(&facts, 1);
            let missed = "xks_objective_requests_total{met=\"false\",store=\"payments\"} 1";
            assert_eq!(text.contains(missed), is_verified, "{text}");
            assert!(
                !text.contains("met=\"true\"") && !text.contains("xks_errors_total{"),
                "{text}"
            );
            assert!(text.contains("xks_request_stage_duration_seconds_count{operation=\"encrypt\",stage=\"rest\"} 0"), "{text}");
        }
    }

    #[test]
    fn errors_are_counted_as_retryable_or_not() {
        for (kind, error, retryable) in [
            (FaultKind::Overloaded, "ThrottlingException", "true"),
            (FaultKind::AccessDenied, "AccessDeniedException", "false"),
        ] {
            let text = counted(Some(kind.into()), 1);
            let labels =
                format!("error=\"{error}\",operation=\"encrypt\",retryable=\"{retryable}\"");
            assert!(text.contains(&labels), "{text}");
        }
    }

    #[test]
    fn the_stages_add_up_to_the_duration() {
        let millis = Duration::from_millis;
        let cost = Cost {
            queued: millis(2),
            worked: millis(3),
            ..Cost::default()
        };
        let mut facts = Facts {
            cost,
            audited: Some(millis(5)),
            ..Facts::default()
        };
        facts.signature.took = millis(1);
        let times = split(&facts, millis(20));
        assert_eq!(times, [1, 2, 3, 5, 9].map(millis));
    }
}
