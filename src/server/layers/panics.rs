//! Panics in requests and connections: the request is answered with an error, the connection ends, others go on.

use std::future::Future;

use tower::Service;

use crate::sync::{Panicked, Scope, contained, contained_future};
use crate::xks::{Fault, FaultKind};

/// Calls `service`. A panic, of the call or of its future, is a [`Panicked`] as soon as it occurs.
pub(super) fn contained_call<S, R>(
    service: &mut S,
    request: R,
) -> impl Future<Output = Result<S::Response, Result<S::Error, Panicked>>> + Send + 'static + use<S, R>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    let answering = contained(Scope::Request, || service.call(request));
    async move {
        let outcome = contained_future(Scope::Request, answering.map_err(Err)?);
        outcome.await.map_err(Err)?.map_err(Ok)
    }
}

/// The error of a request in which a panic occurred.
pub(super) fn fault_of(panicked: &Panicked) -> Fault {
    Fault::because(FaultKind::Internal, panicked.to_string())
}
