//! The front process: runs the proxy from its start to its end.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::admin_listener;
use super::auditor::Auditor;
use super::devices::Devices;
use super::error::AppError;
use super::readiness::Phase;
use super::reload::certificate::CertificateReload;
use super::reload::metrics::ReloadMetrics;
use super::reload::reloader::{Reloader, report_problems, serving};
use super::reload::task::reload;
use super::reload::watcher::{self, Ask};
use super::request_threads::request_threads;
use super::start::first_reading::{FirstReading, first_reading};
use super::start::first_signals::FirstSignals;
use super::start::front_sandbox::FrontSandbox;
use super::start::signals::Signals;
use super::stores::StoreMaker;
use crate::admin;
use crate::audit::AuditMetrics;
use crate::build_info;
use crate::config::{Configuration, Reading};
use crate::connections::{ConnectionMetrics, Connections, ProxyHeaders};
use crate::ekm::KeyManager as _;
use crate::hsm::{HsmMetrics, StateChange, Workers};
use crate::logging::{self, LevelHandle};
use crate::metrics::{Metrics, MetricsError};
use crate::policy::PolicyMetrics;
use crate::server::{Live, Server, ServerMetrics, ServerParts};
use crate::sync::{essential_task, task};

/// How long the start waits for the first attempt to open each HSM. An HSM that hangs must not delay the health answers for longer.
const FIRST_ATTEMPT: Duration = Duration::from_secs(10);

/// Interval between checks for usable HSMs during the start.
const POLL: Duration = Duration::from_millis(10);

/// How long the runtime may take to end. Only a thread that hangs needs that long.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(1);

/// Runs the proxy until a signal stops it. `file` is the configuration; it is reloaded when it, or a file that it names, changes.
/// `launcher` is the channel to the launcher, which starts workers and forwards signals.
///
/// # Errors
/// [`AppError`] when it cannot start. Once it serves, only a signal or an internal error ends it.
pub fn run(file: &Path, launcher: OwnedFd) -> Result<(), AppError> {
    // First: by default, SIGHUP ends the process.
    let first_signals = FirstSignals::handle()?;
    Workers::forward_signals(&launcher)?;
    let Some(start) = first_reading(file, &first_signals)? else {
        return Ok(());
    };
    // Before other threads are started: they would keep their access to files.
    let sandbox = FrontSandbox::apply(&start);
    let runtime = Builder::new_multi_thread()
        .worker_threads(request_threads()?)
        .enable_all()
        .thread_name("xks-worker")
        .build()?;
    let signals = runtime.block_on(async { Signals::take(&first_signals) })?;
    let workers = runtime.block_on(async { Workers::connect(launcher) })?;
    run_on(runtime, start, &signals, sandbox, workers)
}

fn run_on(
    runtime: Runtime,
    start: FirstReading,
    signals: &Signals,
    sandbox: FrontSandbox,
    workers: Workers,
) -> Result<(), AppError> {
    // The log is dropped last: its lines are written before the process ends, also when the start fails.
    let (_log, level) = logging::start(&start.loaded.configuration.log)
        .map_err(|error| AppError::Log(error.to_string()))?;
    sandbox.log();
    report(&start);
    workers.log_warnings();
    let outcome = runtime.block_on(serve(start, sandbox, level, signals, workers));
    runtime.shutdown_timeout(RUNTIME_PATIENCE);
    if let Err(error) = &outcome {
        tracing::error!(%error, "the proxy cannot run");
    }
    outcome
}

fn report(start: &FirstReading) {
    tracing::info!(version = build_info::VERSION, "starting");
    for warning in &start.loaded.warnings {
        tracing::warn!(%warning, "configuration");
    }
    report_problems(&start.certificate);
}

async fn serve(
    start: FirstReading,
    sandbox: FrontSandbox,
    level: LevelHandle,
    signals: &Signals,
    workers: Workers,
) -> Result<(), AppError> {
    let metrics = Metrics::new()?;
    declare_build_info(&metrics)?;
    let auditor = Auditor::default();
    let devices = start_devices(&start.loaded.configuration, workers, &metrics, &auditor)?;
    tokio::select! {
        () = wait_for_first_attempts(&devices) => {}
        () = signals.stop() => {
            end(&auditor, &devices).await;
            return Ok(());
        }
    }
    let FirstReading {
        file,
        sources,
        loaded,
        ..
    } = start;
    let connection_metrics = ConnectionMetrics::declare(&metrics)?;
    let connections = connections(&loaded.configuration, &connection_metrics);
    let reloader = reloader(
        loaded.configuration,
        connections,
        level,
        &devices,
        &auditor,
        &metrics,
        sandbox,
    )?;
    let server = bind(&reloader)?;
    auditor.expect_within(reloader.current.server.limits.request_timeout);
    let phase = Phase::new();
    if let Some(settings) = &reloader.current.admin {
        let connections = Connections::new("admin", admin::LIMITS, &connection_metrics);
        let parts = admin_listener::parts(metrics, connections, &phase, &reloader)?;
        admin_listener::start(settings, parts)?;
    }
    report_addresses(&server)?;
    let readings = watcher::start(file, sources, reloader.current.server.tls.identity.clone())?;
    serve_until_stopped(server, reloader, readings, phase, signals).await;
    end(&auditor, &devices).await;
    Ok(())
}

fn report_addresses(server: &Server) -> io::Result<()> {
    for address in server.addresses()? {
        tracing::info!(listener = "server", %address, "listening");
    }
    Ok(())
}

/// Serves and reloads until a signal stops the proxy and all requests are answered, or the grace period ends.
async fn serve_until_stopped(
    server: Server,
    reloader: Reloader,
    (ask, readings): (Ask, mpsc::Receiver<Reading>),
    phase: Arc<Phase>,
    signals: &Signals,
) {
    let (devices, auditor) = (Arc::clone(&reloader.devices), reloader.auditor.clone());
    let reloading = essential_task(
        "reload",
        reload(reloader, readings, ask.clone(), Arc::clone(&phase)),
    );
    phase.serving();
    let announcement = announce_readiness(Arc::clone(&phase), (devices, auditor.clone()));
    task("readiness", announcement);
    let stop = until_stopped(signals, &auditor, &ask, &phase);
    let finished = server.serve(stop).await;
    reloading.abort();
    if !finished {
        tracing::warn!("grace period ended before all requests were answered");
    }
}

async fn until_stopped(signals: &Signals, auditor: &Auditor, ask: &Ask, phase: &Phase) {
    loop {
        tokio::select! {
            () = signals.stop() => break,
            () = signals.hang_up() => {
                auditor.reopen();
                ask.ask();
            }
        }
    }
    phase.draining();
}

async fn end(auditor: &Auditor, devices: &Devices) {
    auditor.stop().await;
    devices.close().await;
    tracing::info!("stopped");
}

/// Creates the connection limits of the server.
fn connections(configuration: &Configuration, metrics: &ConnectionMetrics) -> Connections {
    let limits = configuration.server.limits.pool();
    let connections = Connections::new("server", limits, metrics);
    connections.configure(limits, configuration.exempt_sources());
    connections
}

/// Creates the reloader, which holds everything that serves this configuration.
fn reloader(
    configuration: Configuration,
    connections: Connections,
    level: LevelHandle,
    devices: &Arc<Devices>,
    auditor: &Auditor,
    metrics: &Metrics,
    sandbox: FrontSandbox,
) -> Result<Reloader, AppError> {
    level.declare(metrics)?;
    let server_metrics = ServerMetrics::declare(metrics)?;
    server_metrics.publish_expiries(&configuration.server.tls);
    server_metrics.publish_client_auth(configuration.server.tls.client_auth_mode());
    let stores = StoreMaker::declare(metrics)?;
    let policy_metrics = PolicyMetrics::declare(metrics)?;
    let made = stores.make(&configuration, devices, None);
    let trusted = configuration.server.proxy_protocol_trusted_sources.clone();
    Ok(Reloader {
        live: Live::new(serving(&configuration, made, &policy_metrics)),
        connections,
        headers: ProxyHeaders::declare(metrics, trusted)?,
        current: configuration,
        devices: Arc::clone(devices),
        auditor: auditor.clone(),
        stores,
        server_metrics,
        policy_metrics,
        metrics: ReloadMetrics::declare(metrics)?,
        level,
        certificate: CertificateReload::default(),
        sandbox,
    })
}

fn bind(reloader: &Reloader) -> io::Result<Server> {
    let parts = ServerParts {
        listen: reloader.current.server.listen.clone(),
        connections: reloader.connections.clone(),
        headers: reloader.headers.clone(),
        live: reloader.live.clone(),
        trail: reloader.auditor.trail(),
        metrics: reloader.server_metrics.clone(),
    };
    Server::bind(parts)
}

fn declare_build_info(metrics: &Metrics) -> Result<(), MetricsError> {
    let gauge = metrics.gauge(
        "xks_build_info",
        "Version of the running build. The value is always 1.",
        &["version"],
    )?;
    gauge.with_label_values(&[build_info::VERSION]).set(1);
    Ok(())
}

fn start_devices(
    configuration: &Configuration,
    workers: Workers,
    metrics: &Metrics,
    auditor: &Auditor,
) -> Result<Arc<Devices>, AppError> {
    let trail = auditor.clone();
    let watcher = Arc::new(move |change: &StateChange<'_>| trail.note_state(change));
    let devices = Arc::new(Devices::new(
        workers,
        HsmMetrics::declare(metrics, watcher)?,
    ));
    // Before the HSMs are started: their first state changes are recorded, too.
    if let Some(settings) = &configuration.audit {
        auditor.open(settings, &devices, AuditMetrics::declare(metrics)?)?;
    }
    for settings in &configuration.hsms {
        devices.add(settings.clone());
    }
    Ok(devices)
}

async fn wait_for_first_attempts(devices: &Devices) {
    let until = Instant::now() + FIRST_ATTEMPT;
    while devices.any(|hsm| !hsm.is_usable() && !hsm.has_failed()) {
        if Instant::now() >= until {
            return tracing::warn!(
                "not all HSMs are open; the proxy serves without them until they are"
            );
        }
        sleep(POLL).await;
    }
}

/// Logs once when the proxy becomes ready.
async fn announce_readiness(phase: Arc<Phase>, (devices, auditor): (Arc<Devices>, Auditor)) {
    while phase.readiness(&devices, &auditor).is_err() {
        sleep(POLL).await;
    }
    tracing::info!("ready");
}
