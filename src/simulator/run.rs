//! Start and end of a simulator.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLock};

use serde_json::json;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::metrics::MetricsError;
use crate::simulator::api::keys::policy::tell_unreadable;
use crate::simulator::api::stores::connect;
use crate::simulator::cloudtrail::{Trail, TrailError};
use crate::simulator::cloudwatch::CloudWatch;
use crate::simulator::counters::Counters;
use crate::simulator::events::Events;
use crate::simulator::http::listener::serve;
use crate::simulator::proxy::tls::{Identities, IdentityError};
use crate::simulator::settings::Settings;
use crate::simulator::state::State;
use crate::simulator::state::file::{StateError, StateFile};
use crate::simulator::state::last_usage::LastUsages;
use crate::simulator::world::World;
use crate::sync::task;

/// Why a simulator did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state file.
    #[error(transparent)]
    State(#[from] StateError),
    /// The client certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The trail.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// The address.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The machine.
    #[error("cannot run: {0}")]
    Machine(#[from] io::Error),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Something that KMS would have answered with a 500.
    #[error("cannot go on from the state file: {0}")]
    Resume(String),
}

/// Runs a simulator until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`]: it did not start, and has changed nothing.
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
    let world = Arc::new(world(settings)?);
    connect::resume(&world).map_err(|error| StartError::Resume(error.message))?;
    greet(&world, address);
    world.read(|state| tell_unreadable(&world, state));
    let looking_after = task(
        "look-after",
        connect::look_after(Arc::clone(&world), interval),
    );
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(Arc::clone(&world), listener, stop).await;
    looking_after.abort();
    if let Some(trail) = &world.trail {
        trail.finish();
    }
    world.events.finish();
    Ok(())
}

fn world(settings: Settings) -> Result<World, StartError> {
    let (file, state) = match &settings.state {
        None => (None, State::default()),
        Some(path) => {
            let (file, state) = StateFile::open(path)?;
            (Some(Mutex::new(file)), state)
        }
    };
    let identities = Identities::prepare(
        settings.identity,
        settings.authorities,
        settings.resolve,
        settings.client_certificate,
    )?;
    Ok(World {
        identities,
        events: Events::new(settings.json),
        counters: Counters::new()?,
        cloudwatch: CloudWatch::default(),
        usages: LastUsages::new(),
        trail: settings.trail.map(Trail::start).transpose()?,
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

fn greet(world: &World, address: SocketAddr) {
    let url = format!("http://{address}");
    world.events.tell("listening", json!({ "url": url }), || {
        format!("listening on {url}")
    });
    if world.credentials.is_none() {
        let what = "no credentials are configured: EVERY caller is accepted, whatever its signature, and policies and grants apply to nobody";
        world.events.tell("warning", json!({ "what": what }), || {
            format!("WARNING: {what}")
        });
    }
}
