//! The admin listener of the front: health checks and metrics.

use std::sync::Arc;

use super::error::AppError;
use super::panic_metrics::PanicMetrics;
use super::readiness::Phase;
use super::reload::reloader::Reloader;
use crate::admin::{Admin, AdminParts, AdminSettings};
use crate::connections::Connections;
use crate::metrics::Metrics;
use crate::sync::{End, essential_task};

/// Returns what the admin listener serves: metrics, readiness, and the update of gauges before metrics are read.
///
/// # Errors
/// [`AppError::Metrics`] when the name of a metric is taken.
pub(super) fn parts(
    metrics: Metrics,
    connections: Connections,
    phase: &Arc<Phase>,
    reloader: &Reloader,
) -> Result<AdminParts, AppError> {
    let panics = PanicMetrics::declare(&metrics)?;
    let (phase, auditor) = (Arc::clone(phase), reloader.auditor.clone());
    let trail = auditor.clone();
    let (hsms, devices) = (Arc::clone(&reloader.devices), Arc::clone(&reloader.devices));
    let (live, server_metrics) = (reloader.live.clone(), reloader.server_metrics.clone());
    let not_applied = reloader.metrics.not_applied.clone();
    Ok(AdminParts {
        connections,
        headers: reloader.headers.clone(),
        metrics,
        readiness: Arc::new(move || phase.readiness(&hsms, &auditor)),
        refresh: Arc::new(move || {
            devices.publish_gauges();
            not_applied.show_settings("not_opened", devices.rejecting_settings());
            let serving = live.now();
            serving.stores.publish_gauges();
            server_metrics.publish_problems(&serving.tls.identity);
            panics.publish();
            trail.is_healthy();
        }),
    })
}

/// Binds the admin listener and serves it in a task.
///
/// # Errors
/// [`AppError::Io`] when an address cannot be bound.
pub(super) fn start(settings: &AdminSettings, parts: AdminParts) -> Result<(), AppError> {
    let admin = Admin::bind(settings, parts)?;
    for address in admin.addresses()? {
        tracing::info!(listener = "admin", %address, "listening");
    }
    essential_task("admin", async move {
        admin.serve().await;
        End::Unexpected("health checks and metrics are missing".into())
    });
    Ok(())
}
