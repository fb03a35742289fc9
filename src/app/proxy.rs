//! The running proxy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use super::readiness::Phase;
use super::signals::Signals;
use super::{hardening, logging};
use crate::admin::{Admin, AdminParts, AdminSettings};
use crate::build_info;
use crate::config::{Configuration, Finding, Loaded};
use crate::ekm::{Fleet, FleetMetrics, KeyManager};
use crate::hsm::{Hsm, HsmMetrics, HsmSettings, Modules};
use crate::keystore::{KeyMetrics, KeyStoreSettings, KeyStores};
use crate::metrics::{Metrics, MetricsError};
use crate::server::{Server, ServerMetrics, ServerParts};

/// How long the start waits for the first attempt to open each HSM. A device that hangs must not keep the proxy from telling so.
const FIRST_ATTEMPT: Duration = Duration::from_secs(10);

/// How often the start looks whether an HSM has become usable.
const POLL: Duration = Duration::from_millis(10);

/// How long each HSM may take to close at the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

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
    /// The log is taken.
    #[error("the log cannot be set up: {0}")]
    Log(String),
}

/// Runs the proxy until it is asked to stop.
///
/// # Errors
/// [`AppError`] when it cannot start; once it serves, nothing but a stop ends it.
pub fn run(loaded: Loaded) -> Result<(), AppError> {
    logging::start(loaded.configuration.log).map_err(|error| AppError::Log(error.to_string()))?;
    hardening::forbid_core_dumps();
    report(&loaded.warnings);
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .thread_name("xks-worker")
        .build()?;
    let outcome = runtime.block_on(serve(loaded.configuration));
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

async fn serve(configuration: Configuration) -> Result<(), AppError> {
    let signals = Signals::take()?;
    let metrics = Metrics::new()?;
    declare_build_info(&metrics)?;
    let server_metrics = ServerMetrics::declare(&metrics, &configuration.server.tls.expiries)?;
    let modules = Modules::default();
    let hsms = start_hsms(configuration.hsms, &modules, &metrics)?;
    wait_for_first_attempts(&hsms).await;
    let rules = FleetRules {
        hedge_delay: configuration.hedge_delay,
        fleet: FleetMetrics::declare(&metrics)?,
        keys: KeyMetrics::declare(&metrics)?,
    };
    let stores = stores(configuration.key_stores, &hsms, &rules);
    let parts = ServerParts {
        settings: configuration.server,
        stores: Arc::new(stores),
        metrics: server_metrics,
    };
    let server = Server::bind(parts).await?;
    let phase = Phase::new();
    if let Some(settings) = configuration.admin {
        start_admin(settings, metrics, &phase, &hsms).await?;
    }
    for address in server.addresses()? {
        tracing::info!(listener = "server", %address, "listening");
    }
    phase.serving();
    tokio::spawn(announce_readiness(Arc::clone(&phase), hsms.clone()));
    let stop = async {
        signals.stop().await;
        phase.draining();
    };
    let finished = server.serve(stop).await;
    if !finished {
        tracing::warn!("the grace period ended before every request did");
    }
    close(&hsms, &modules);
    tracing::info!("stopped");
    Ok(())
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

fn start_hsms(
    settings: Vec<HsmSettings>,
    modules: &Modules,
    metrics: &Metrics,
) -> Result<Vec<Arc<Hsm>>, AppError> {
    let hsm_metrics = HsmMetrics::declare(metrics)?;
    let start = |settings| Ok(Hsm::start(settings, modules, &hsm_metrics)?);
    settings.into_iter().map(start).collect()
}

async fn wait_for_first_attempts(hsms: &[Arc<Hsm>]) {
    let until = Instant::now() + FIRST_ATTEMPT;
    while !hsms.iter().all(|hsm| hsm.is_usable() || hsm.has_failed()) {
        if Instant::now() >= until {
            return tracing::warn!(
                "an HSM takes long to open; the proxy serves without it meanwhile"
            );
        }
        sleep(POLL).await;
    }
}

/// What the key stores share.
struct FleetRules {
    hedge_delay: Duration,
    fleet: FleetMetrics,
    keys: KeyMetrics,
}

fn stores(settings: Vec<KeyStoreSettings>, hsms: &[Arc<Hsm>], rules: &FleetRules) -> KeyStores {
    let of_name = |name: &String| {
        let hsm = hsms.iter().find(|hsm| **hsm.name() == **name)?;
        Some(Arc::clone(hsm) as Arc<dyn KeyManager>)
    };
    let store = |settings: KeyStoreSettings| {
        let devices = settings.hsms.iter().filter_map(of_name).collect();
        let fleet = Fleet::new(devices, rules.hedge_delay, rules.fleet.clone());
        settings.into_store(fleet, &rules.keys)
    };
    KeyStores::new(settings.into_iter().map(store).collect())
}

async fn start_admin(
    settings: AdminSettings,
    metrics: Metrics,
    phase: &Arc<Phase>,
    hsms: &[Arc<Hsm>],
) -> Result<(), AppError> {
    let (phase, for_readiness, for_refresh) = (Arc::clone(phase), hsms.to_vec(), hsms.to_vec());
    let parts = AdminParts {
        metrics,
        readiness: Arc::new(move || phase.readiness(&for_readiness)),
        refresh: Arc::new(move || for_refresh.iter().for_each(|hsm| hsm.publish_gauges())),
    };
    let admin = Admin::bind(settings, parts).await?;
    let address = admin.address()?;
    tracing::info!(listener = "admin", %address, "listening");
    tokio::spawn(admin.serve());
    Ok(())
}

/// Logs once when the proxy becomes ready.
async fn announce_readiness(phase: Arc<Phase>, hsms: Vec<Arc<Hsm>>) {
    while phase.readiness(&hsms).is_err() {
        sleep(POLL).await;
    }
    tracing::info!("ready");
}

/// Closes every device. A library in which a thread hangs is left alone: finalizing it would crash the exit.
fn close(hsms: &[Arc<Hsm>], modules: &Modules) {
    let mut all_closed = true;
    for hsm in hsms {
        let closed = hsm.stop(CLOSE_PATIENCE);
        if !closed {
            tracing::warn!(hsm = %hsm.name(), "a thread hangs inside the HSM; it is abandoned");
        }
        all_closed &= closed;
    }
    if all_closed {
        modules.finalize();
    }
}
