//! Creates the [`Deadline`] of a request. Every later wait, for the body and for the HSM, ends at this deadline.

use std::task::{Context, Poll};

use http::Request;
use tower::{Layer, Service};

use crate::clock::Deadline;
use crate::server::live::Live;

/// Creates [`WithDeadline`].
#[derive(Clone)]
pub(super) struct DeadlineLayer {
    pub live: Live,
}

/// Adds the deadline to each request.
#[derive(Clone)]
pub(super) struct WithDeadline<S> {
    inner: S,
    live: Live,
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = WithDeadline<S>;

    fn layer(&self, inner: S) -> WithDeadline<S> {
        let live = self.live.clone();
        WithDeadline { inner, live }
    }
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for WithDeadline<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let budget = self.live.now().limits.request_timeout;
        request.extensions_mut().insert(Deadline::after(budget));
        self.inner.call(request)
    }
}
