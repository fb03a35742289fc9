//! The layers of the server: each request passes them in the order of [`stack`]. The documentation of `server` lists what each layer does.

mod admit;
mod audit;
mod authenticate;
mod body;
pub(super) mod detached;
mod dispatch;
mod last_resort;
mod observe;
mod panics;
mod rescue;
mod share;

use std::convert::Infallible;

use hyper::body::Incoming;
use tower::{Service, ServiceBuilder};

use super::metrics::ServerMetrics;
use super::received::Received;
use super::response::Response;
use super::unverified::UnverifiedLimits;
use crate::audit::Trail;
use admit::AdmitLayer;
use audit::AuditLayer;
use authenticate::AuthenticateLayer;
use detached::Detached;
use dispatch::Dispatch;
use last_resort::LastResortLayer;
use observe::ObserveLayer;
use rescue::RescueLayer;

/// Returns all layers as one service, the outermost layer first.
pub(super) fn stack(
    metrics: &ServerMetrics,
    trail: Option<Trail>,
    unverified: &UnverifiedLimits,
    detached: &Detached,
) -> impl Service<Received<Incoming>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ use<> {
    ServiceBuilder::new()
        .layer(LastResortLayer)
        .layer(ObserveLayer::new(
            metrics.clone(),
            unverified.lines.clone(),
            detached.clone(),
        ))
        .layer(AuditLayer::new(trail, unverified))
        .layer(RescueLayer)
        .layer(AuthenticateLayer::new(
            unverified.budget.clone(),
            metrics.rejected_endpoints.clone(),
        ))
        .layer(AdmitLayer::new(metrics))
        .service(Dispatch)
}
