//! The layers of the server: each request passes them in the order of [`stack`]. The documentation of `server` lists what each layer does.

mod admit;
mod audit;
mod authenticate;
mod body;
mod deadline;
pub(super) mod detached;
mod dispatch;
mod last_resort;
mod observe;
mod panics;
mod rescue;
mod share;

use std::convert::Infallible;

use http::Request;
use hyper::body::Incoming;
use tower::{Service, ServiceBuilder};

use super::live::Live;
use super::metrics::ServerMetrics;
use super::response::Response;
use super::unverified::UnverifiedLimits;
use crate::audit::Trail;
use admit::AdmitLayer;
use audit::AuditLayer;
use authenticate::AuthenticateLayer;
use deadline::DeadlineLayer;
use detached::Detached;
use dispatch::Dispatch;
use last_resort::LastResortLayer;
use observe::ObserveLayer;
use rescue::RescueLayer;

/// Returns all layers as one service, the outermost layer first.
pub(super) fn stack(
    live: &Live,
    metrics: &ServerMetrics,
    trail: Option<Trail>,
    unverified: &UnverifiedLimits,
    detached: &Detached,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ use<> {
    ServiceBuilder::new()
        .layer(LastResortLayer)
        .layer(ObserveLayer {
            live: live.clone(),
            metrics: metrics.clone(),
            lines: unverified.lines.clone(),
            detached: detached.clone(),
        })
        .layer(AuditLayer {
            trail,
            unverified: unverified.clone(),
        })
        .layer(RescueLayer)
        .layer(DeadlineLayer { live: live.clone() })
        .layer(AuthenticateLayer {
            live: live.clone(),
            budget: unverified.budget.clone(),
            rejected_endpoints: metrics.rejected_endpoints.clone(),
        })
        .layer(AdmitLayer::new(metrics))
        .service(Dispatch)
}
