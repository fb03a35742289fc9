//! Start and stop of a simulator.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLock};

use serde_json::json;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::metrics::MetricsError;
use crate::simulator::api::keys::policy::report_invalid_policies;
use crate::simulator::api::stores::connect;
use crate::simulator::cloudtrail::{CloudTrail, TrailError};
use crate::simulator::cloudwatch::CloudWatch;
use crate::simulator::events::Events;
use crate::simulator::http::listener::serve;
use crate::simulator::kms::Kms;
use crate::simulator::metrics::KeyStoreMetrics;
use crate::simulator::proxy::tls::{ClientCertificateError, ProxyTls};
use crate::simulator::settings::Settings;
use crate::simulator::state::KmsState;
use crate::simulator::state::file::{StateError, StateFile};
use crate::simulator::state::last_usage::LastUsages;
use crate::sync::task;

/// The reason why a simulator did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state file cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The client certificates cannot be used.
    #[error(transparent)]
    Identity(#[from] ClientCertificateError),
    /// CloudTrail cannot be written.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// The address cannot be bound.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The runtime or the signal handlers cannot be created.
    #[error("cannot run: {0}")]
    Machine(#[from] io::Error),
    /// The metrics cannot be registered.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A store of the state file cannot be connected again.
    #[error("cannot connect the key stores of the state file: {0}")]
    Resume(String),
}

/// Runs a simulator until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`]: the simulator did not start and has not changed the state.
pub fn run(settings: Settings) -> Result<(), StartError> {
    let runtime = Runtime::new()?;
    runtime.block_on(run_on(settings))
}

async fn run_on(settings: Settings) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listen = settings.listen;
    let bound = TcpListener::bind(listen).await;
    let listener = bound.map_err(|error| StartError::Listen(listen, error))?;
    let (interval, address) = (settings.health_interval, listener.local_addr()?);
    let kms = Arc::new(kms(settings)?);
    connect::resume(&kms).map_err(|error| StartError::Resume(error.message))?;
    report_start(&kms, address);
    kms.read(|state| report_invalid_policies(&kms, state));
    let maintenance = task("look-after", connect::maintain(Arc::clone(&kms), interval));
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(Arc::clone(&kms), listener, stop).await;
    maintenance.abort();
    if let Some(trail) = &kms.trail {
        trail.finish();
    }
    kms.events.finish();
    Ok(())
}

fn kms(settings: Settings) -> Result<Kms, StartError> {
    let (file, state) = match &settings.state {
        None => (None, KmsState::default()),
        Some(path) => {
            let (file, state) = StateFile::open(path)?;
            (Some(Mutex::new(file)), state)
        }
    };
    let tls = ProxyTls::prepare(
        settings.identity,
        settings.authorities,
        settings.resolve,
        settings.client_certificate,
    )?;
    Ok(Kms {
        tls,
        events: Events::new(settings.json),
        metrics: KeyStoreMetrics::new()?,
        cloudwatch: CloudWatch::default(),
        usages: LastUsages::new(),
        trail: settings.trail.map(CloudTrail::start).transpose()?,
        credentials: settings.credentials,
        principals: settings.principals,
        quota: settings.quota,
        timeout: settings.timeout,
        endpoint_services: settings.endpoint_services,
        internal_timeouts: settings.internal_timeouts,
        state: RwLock::new(state),
        file,
    })
}

fn report_start(kms: &Kms, address: SocketAddr) {
    let url = format!("http://{address}");
    kms.events.emit("listening", json!({ "url": url }), || {
        format!("listening on {url}")
    });
    if kms.credentials.is_none() {
        let message = "no credentials are configured: EVERY caller is accepted, signatures are not verified, and policies and grants have no effect";
        kms.events.emit("warning", json!({ "what": message }), || {
            format!("WARNING: {message}")
        });
    }
}
