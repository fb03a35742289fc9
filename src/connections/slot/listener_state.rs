//! The shared state of all connections of one listener: the pool with its lock, metrics and log.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::Notify;

use crate::connections::end::End;
use crate::connections::metrics::ListenerMetrics;
use crate::connections::networks::Networks;
use crate::connections::pool::{Displaced, Pool, PoolLimits, PooledConnection};
use crate::connections::source::Source;
use crate::connections::tally::Tally;
use crate::connections::usage::Usage;
use crate::proxy_protocol::{Proxied, VpcEndpointId};
use crate::sync::poisoned;

/// The connections of one listener.
pub(in crate::connections) struct ListenerState {
    pool: Mutex<Pool<Arc<Link>>>,
    exempt: Mutex<Exempt>,
    /// The number of the next connection whose PROXY header is awaited.
    next_number: AtomicU64,
    pub metrics: ListenerMetrics,
    /// Displaced and rejected connections.
    closed: Tally<Closed>,
    malformed: Tally<Source>,
    floods: Tally<Source>,
    accept_failures: Tally<String>,
}

/// The sources that are exempt from the limit per source. Their connections count against the total limit only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exempt {
    /// Load balancers without PROXY protocol.
    pub shared_sources: Networks,
    /// The VPC endpoints that key stores list. KMS opens many connections through one VPC endpoint.
    pub vpc_endpoints: HashSet<VpcEndpointId>,
}

/// The log fields of a connection that was displaced or rejected.
struct Closed {
    source: Source,
    end: End,
}

/// The state that a connection's task, its requests and the pool share.
pub(in crate::connections) struct Link {
    pub usage: Arc<Usage>,
    pub is_handshaking: AtomicBool,
    pub is_verified: AtomicBool,
    /// True if its source was known when it was accepted.
    pub is_known: AtomicBool,
    /// When a verified request was last recorded in the pool, in milliseconds since the accept.
    pub noted_at: AtomicU64,
    pub is_displaced: AtomicBool,
    pub displaced: Notify,
}

impl PooledConnection for Arc<Link> {
    fn idle_since(&self) -> Option<Instant> {
        self.usage.idle_since()
    }
}

impl ListenerState {
    pub(in crate::connections) fn new(limits: PoolLimits, metrics: ListenerMetrics) -> Self {
        metrics.publish_limits(limits);
        Self {
            pool: Mutex::new(Pool::new(limits)),
            exempt: Mutex::default(),
            next_number: AtomicU64::new(0),
            metrics,
            closed: Tally::default(),
            malformed: Tally::default(),
            floods: Tally::default(),
            accept_failures: Tally::default(),
        }
    }

    pub(in crate::connections) fn configure(&self, limits: PoolLimits, exempt: Exempt) {
        self.pool().set_limits(limits);
        *lock(&self.exempt) = exempt;
        self.metrics.publish_limits(limits);
    }

    /// Returns whether the address of a socket is exempt from the limit per source.
    pub(in crate::connections) fn is_exempt(&self, address: IpAddr) -> bool {
        lock(&self.exempt).shared_sources.contain(address)
    }

    /// Returns whether a key store lists the client's VPC endpoint.
    pub(in crate::connections) fn is_listed(&self, client: &Proxied) -> bool {
        let listed = &lock(&self.exempt).vpc_endpoints;
        client.vpc_endpoint.is_some_and(|id| listed.contains(&id))
    }

    pub(in crate::connections) fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    pub(in crate::connections) fn note_accept_failure(&self, error: &io::Error) {
        self.metrics.accept_failures.inc();
        if let Some(error) = self.accept_failures.add(error.to_string()) {
            self.log_accept_failures(1, &error);
        }
    }

    pub(in crate::connections) fn report(&self) {
        if let Some((count, last)) = self.closed.end_period() {
            self.log_closed(count, &last);
        }
        if let Some((count, last)) = self.malformed.end_period() {
            self.log_malformed(count, &last);
        }
        if let Some((count, last)) = self.floods.end_period() {
            self.log_floods(count, &last);
        }
        if let Some((count, error)) = self.accept_failures.end_period() {
            self.log_accept_failures(count, &error);
        }
    }

    pub(in crate::connections) fn pool(&self) -> MutexGuard<'_, Pool<Arc<Link>>> {
        lock(&self.pool)
    }

    /// Changes the pool and publishes its counts.
    pub(in crate::connections) fn change<T>(
        &self,
        change: impl FnOnce(&mut Pool<Arc<Link>>) -> T,
    ) -> T {
        let mut pool = self.pool();
        let outcome = change(&mut pool);
        self.metrics.publish(pool.counts());
        outcome
    }

    /// Ends the connections that the pool has displaced.
    pub(in crate::connections) fn close(&self, displaced: Vec<Displaced<Arc<Link>>>) {
        for gone in displaced {
            gone.connection.is_displaced.store(true, Ordering::Release);
            gone.connection.displaced.notify_one();
            self.count_closed(gone.source, End::displaced(gone.state), gone.is_known);
        }
    }

    /// Counts and logs a connection that was displaced or rejected.
    pub(in crate::connections) fn count_closed(&self, source: Source, end: End, is_known: bool) {
        self.metrics.count_closed(end, is_known);
        if let Some(closed) = self.closed.add(Closed { source, end }) {
            self.log_closed(1, &closed);
        }
    }

    /// Counts a connection that has ended and was not displaced. Logs it if its last request has no access log line.
    pub(in crate::connections) fn count_ended(&self, source: &Source, end: End, is_known: bool) {
        self.metrics.count_closed(end, is_known);
        let first = |tally: &Tally<Source>| tally.add(source.clone());
        match end {
            End::Malformed => {
                if let Some(last) = first(&self.malformed) {
                    self.log_malformed(1, &last);
                }
            }
            End::Flood => {
                if let Some(last) = first(&self.floods) {
                    self.log_floods(1, &last);
                }
            }
            _ => {}
        }
    }

    fn log_malformed(&self, count: u64, last: &Source) {
        let listener = self.metrics.listener;
        tracing::warn!(listener, count, last_source = %last, "connections closed because a request is not valid HTTP");
    }

    fn log_floods(&self, count: u64, last: &Source) {
        let listener = self.metrics.listener;
        tracing::warn!(listener, count, last_source = %last, "connections closed because they flooded the proxy");
    }

    fn log_closed(&self, count: u64, last: &Closed) {
        tracing::warn!(
            listener = self.metrics.listener,
            count,
            last_source = %last.source,
            last_reason = last.end.as_str(),
            "connections closed because the limit of connections is reached"
        );
    }

    fn log_accept_failures(&self, count: u64, error: &str) {
        let listener = self.metrics.listener;
        tracing::error!(listener, count, error, "cannot accept connections");
    }
}

impl Link {
    pub(in crate::connections) fn new(now: Instant) -> Self {
        Self {
            usage: Arc::new(Usage::new(now)),
            is_handshaking: AtomicBool::new(true),
            is_verified: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            noted_at: AtomicU64::new(0),
            is_displaced: AtomicBool::new(false),
            displaced: Notify::new(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(poisoned)
}
