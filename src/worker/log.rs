//! The log of a worker: each event becomes a line that the front writes.
//!
//! # Invariants
//! - Logging never waits for the front. A line that the channel has no room for is counted; the next line reports the number of lost lines.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::channels::ControlChannel;
use crate::hsm_protocol::{Line, LineLevel, News};

/// Sends all events from now on to the front.
pub(super) fn start(control: &Arc<ControlChannel>) {
    let layer = ToFront {
        control: Arc::clone(control),
        lost: AtomicU64::new(0),
    };
    let filter = Targets::new().with_target("xks_proxy", LevelFilter::DEBUG);
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter));
    // Fails only if the process has a log already, which a worker does not.
    drop(subscriber.try_init());
}

struct ToFront {
    control: Arc<ControlChannel>,
    lost: AtomicU64,
}

impl<S: Subscriber> Layer<S> for ToFront {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut members = Members::default();
        event.record(&mut members);
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let line = Line {
            level: level(*event.metadata().level()),
            message: members.message,
            fields: members.fields,
            lost,
        };
        if !self.control.offer(&News::Line(line)) {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

fn level(level: Level) -> LineLevel {
    match level {
        Level::ERROR => LineLevel::Error,
        Level::WARN => LineLevel::Warn,
        Level::INFO => LineLevel::Info,
        _ => LineLevel::Debug,
    }
}

#[derive(Default)]
struct Members {
    message: String,
    fields: Map<String, Value>,
}

impl Members {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Members {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            _ => self.add(field, text),
        }
    }
}
