//! Contains panics of the inner layers: the request gets an error response, and other requests continue.

use std::future::Future;

use tower::Service;

use crate::sync::{Panicked, Scope, contained, contained_future};
use crate::xks::{Fault, FaultKind};

/// Calls `service`. A panic in the call or in its future becomes a [`Panicked`].
pub(super) fn contained_call<S, R>(
    service: &mut S,
    request: R,
) -> impl Future<Output = Result<S::Response, Result<S::Error, Panicked>>> + Send + 'static + use<S, R>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    let responding = contained(Scope::Request, || service.call(request));
    async move {
        let outcome = contained_future(Scope::Request, responding.map_err(Err)?);
        outcome.await.map_err(Err)?.map_err(Ok)
    }
}

/// Returns the error of a request in which a panic occurred.
pub(super) fn fault_of(panicked: &Panicked) -> Fault {
    Fault::because(FaultKind::Internal, panicked.to_string())
}
