//! The running proxy.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use super::auditor::Auditor;
use super::devices::Devices;
use super::logging::LevelHandle;
use super::readiness::Phase;
use super::reload::{ReloadMetrics, Reloader, serving};
use super::signals::Signals;
use super::stores::StoreMaker;
use super::{hardening, logging, watcher};
use crate::admin::{self, Admin, AdminParts, AdminSettings};
use crate::audit::{AuditError, AuditMetrics};
use crate::build_info;
use crate::config::{Configuration, Finding, Loaded, Reading, Sources};
use crate::connections::{ConnectionMetrics, Connections};
use crate::ekm::KeyManager as _;
use crate::hsm::{HsmMetrics, StateChange};
use crate::metrics::{Metrics, MetricsError};
use crate::policy::PolicyMetrics;
use crate::server::{Live, Server, ServerMetrics, ServerParts, ServerSettings};

/// How long the start waits for the first attempt to open each HSM. A device that hangs must not keep the proxy from telling so.
const FIRST_ATTEMPT: Duration = Duration::from_secs(10);

/// How often the start looks whether an HSM has become usable.
const POLL: Duration = Duration::from_millis(10);

/// How long the runtime may take to end; only a thread that hangs needs it.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(1);

/// Why the proxy could not start.
#[derive(Debug, Error)]
pub enum AppError {
    /// Sockets, threads, signals.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Two rooms declared one metric: a mistake of ours.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// There is no audit trail where there must be one.
    #[error("audit: {0}")]
    Audit(#[from] AuditError),
    /// The log is taken, or has no thread.
    #[error("the log cannot be set up: {0}")]
    Log(String),
}

/// What the proxy starts with.
struct Start {
    file: PathBuf,
    sources: Sources,
    loaded: Loaded,
    level: LevelHandle,
}

/// Runs the proxy until it is asked to stop. `loaded` was read from `file`, and with it `sources`: when one of them changes, the
/// configuration is read again.
///
/// # Errors
/// [`AppError`] when it cannot start; once it serves, nothing but a stop ends it.
pub fn run(file: &Path, loaded: Loaded, sources: Sources) -> Result<(), AppError> {
    // Ends last: what it holds is written before the process ends, also when the start fails.
    let (_log, level) = logging::start(&loaded.configuration.log)
        .map_err(|error| AppError::Log(error.to_string()))?;
    hardening::forbid_core_dumps();
    report(&loaded.warnings);
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .thread_name("xks-worker")
        .build()?;
    let outcome = runtime.block_on(serve(Start {
        file: file.to_owned(),
        sources,
        loaded,
        level,
    }));
    runtime.shutdown_timeout(RUNTIME_PATIENCE);
    if let Err(error) = &outcome {
        tracing::error!(%error, "the proxy cannot run");
    }
    outcome
}

fn report(warnings: &[Finding]) {
    tracing::info!(version = build_info::VERSION, "xks-proxy starts");
    for warning in warnings {
        tracing::warn!(%warning, "configuration");
    }
}

async fn serve(start: Start) -> Result<(), AppError> {
    let signals = Signals::take()?;
    let metrics = Metrics::new()?;
    declare_build_info(&metrics)?;
    let auditor = Auditor::default();
    let devices = start_devices(&start.loaded.configuration, &metrics, &auditor)?;
    wait_for_first_attempts(&devices).await;
    let Start {
        file,
        sources,
        loaded,
        level,
    } = start;
    let connection_metrics = ConnectionMetrics::declare(&metrics)?;
    let connections = connections(&loaded.configuration.server, &connection_metrics);
    let reloader = reloader(
        loaded.configuration,
        connections,
        level,
        &devices,
        &auditor,
        &metrics,
    )?;
    let server = bind(&reloader)?;
    let limits = &reloader.current.server.limits;
    auditor.expect_within(limits.request_timeout);
    let live = reloader.live.clone();
    let phase = Phase::new();
    if let Some(settings) = &reloader.current.admin {
        let connections = Connections::new("admin", admin::LIMITS, &connection_metrics);
        let parts = admin_parts(metrics, connections, &phase, &devices, &auditor, live);
        start_admin(settings, parts)?;
    }
    for address in server.addresses()? {
        tracing::info!(listener = "server", %address, "listening");
    }
    let (ask, readings) = watcher::start(file, sources)?;
    let reloading = tokio::spawn(reload(reloader, readings, Arc::clone(&phase)));
    phase.serving();
    let of_announcement = (Arc::clone(&devices), auditor.clone());
    tokio::spawn(announce_readiness(Arc::clone(&phase), of_announcement));
    let stop = async {
        let hang_up = || {
            auditor.reopen();
            ask.ask();
        };
        signals.stop(hang_up).await;
        phase.draining();
    };
    let finished = server.serve(stop).await;
    reloading.abort();
    if !finished {
        tracing::warn!("the grace period ended before every request did");
    }
    auditor.stop().await;
    devices.close();
    tracing::info!("stopped");
    Ok(())
}

/// The connections of KMS, none yet.
fn connections(settings: &ServerSettings, metrics: &ConnectionMetrics) -> Connections {
    let limits = settings.limits.pool();
    let connections = Connections::new("server", limits, metrics);
    connections.configure(limits, settings.shared_sources.clone());
    connections
}

/// What serves this configuration, and whichever comes after it.
fn reloader(
    configuration: Configuration,
    connections: Connections,
    level: LevelHandle,
    devices: &Arc<Devices>,
    auditor: &Auditor,
    metrics: &Metrics,
) -> Result<Reloader, AppError> {
    level.declare(metrics)?;
    let server_metrics = ServerMetrics::declare(metrics)?;
    server_metrics.publish_expiries(&configuration.server.tls.expiries);
    let stores = StoreMaker::declare(metrics)?;
    let policy_metrics = PolicyMetrics::declare(metrics)?;
    let made = stores.make(&configuration, devices, None);
    Ok(Reloader {
        live: Live::new(serving(&configuration, made, &policy_metrics)),
        connections,
        current: configuration,
        devices: Arc::clone(devices),
        auditor: auditor.clone(),
        stores,
        server_metrics,
        policy_metrics,
        metrics: ReloadMetrics::declare(metrics)?,
        level,
    })
}

fn bind(reloader: &Reloader) -> io::Result<Server> {
    let settings = &reloader.current.server;
    let parts = ServerParts {
        listen: settings.listen.clone(),
        connections: reloader.connections.clone(),
        live: reloader.live.clone(),
        trail: reloader.auditor.trail(),
        metrics: reloader.server_metrics.clone(),
    };
    Server::bind(parts)
}

/// Applies each configuration that is read while the proxy serves; ignores it while the proxy stops.
async fn reload(mut reloader: Reloader, mut readings: mpsc::Receiver<Reading>, phase: Arc<Phase>) {
    while let Some(reading) = readings.recv().await {
        if phase.is_draining() {
            tracing::warn!("configuration not applied; the proxy is stopping");
            continue;
        }
        // Thousands of keys take some milliseconds, which no request is to wait for.
        block_in_place(|| reloader.apply(reading.outcome));
    }
}

fn declare_build_info(metrics: &Metrics) -> Result<(), MetricsError> {
    let gauge = metrics.gauge(
        "xks_build_info",
        "Which build this is; always 1.",
        &["version"],
    )?;
    gauge.with_label_values(&[build_info::VERSION]).set(1);
    Ok(())
}

fn start_devices(
    configuration: &Configuration,
    metrics: &Metrics,
    auditor: &Auditor,
) -> Result<Arc<Devices>, AppError> {
    let of_devices = auditor.clone();
    let watcher = Arc::new(move |change: &StateChange<'_>| of_devices.note_state(change));
    let devices = Arc::new(Devices::new(HsmMetrics::declare(metrics, watcher)?));
    // Before the devices: their first steps are recorded, too.
    if let Some(settings) = &configuration.audit {
        auditor.open(settings, &devices, AuditMetrics::declare(metrics)?)?;
    }
    for settings in &configuration.hsms {
        devices.add(settings.clone())?;
    }
    Ok(devices)
}

async fn wait_for_first_attempts(devices: &Devices) {
    let until = Instant::now() + FIRST_ATTEMPT;
    while devices.any(|hsm| !hsm.is_usable() && !hsm.has_failed()) {
        if Instant::now() >= until {
            return tracing::warn!(
                "an HSM takes long to open; the proxy serves without it meanwhile"
            );
        }
        sleep(POLL).await;
    }
}

fn admin_parts(
    metrics: Metrics,
    connections: Connections,
    phase: &Arc<Phase>,
    devices: &Arc<Devices>,
    auditor: &Auditor,
    live: Live,
) -> AdminParts {
    let (phase, auditor) = (Arc::clone(phase), auditor.clone());
    let trail = auditor.clone();
    let (of_readiness, of_refresh) = (Arc::clone(devices), Arc::clone(devices));
    AdminParts {
        connections,
        metrics,
        readiness: Arc::new(move || phase.readiness(&of_readiness, &auditor)),
        refresh: Arc::new(move || {
            of_refresh.publish_gauges();
            live.now().stores.publish_gauges();
            trail.is_healthy();
        }),
    }
}

fn start_admin(settings: &AdminSettings, parts: AdminParts) -> Result<(), AppError> {
    let admin = Admin::bind(settings, parts)?;
    for address in admin.addresses()? {
        tracing::info!(listener = "admin", %address, "listening");
    }
    tokio::spawn(admin.serve());
    Ok(())
}

/// Logs once when the proxy becomes ready.
async fn announce_readiness(phase: Arc<Phase>, (devices, auditor): (Arc<Devices>, Auditor)) {
    while phase.readiness(&devices, &auditor).is_err() {
        sleep(POLL).await;
    }
    tracing::info!("ready");
}
