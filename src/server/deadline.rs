//! Makes the one [`Deadline`] of a request. Whoever waits below (for the body, for the HSM) waits until then and not longer.

use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use tower::{Layer, Service};

use crate::clock::Deadline;

/// Makes [`WithDeadline`].
#[derive(Clone, Copy)]
pub(super) struct DeadlineLayer {
    pub request_timeout: Duration,
}

/// Gives each request its deadline.
#[derive(Clone)]
pub(super) struct WithDeadline<S> {
    inner: S,
    request_timeout: Duration,
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = WithDeadline<S>;

    fn layer(&self, inner: S) -> WithDeadline<S> {
        let request_timeout = self.request_timeout;
        WithDeadline {
            inner,
            request_timeout,
        }
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
        request
            .extensions_mut()
            .insert(Deadline::after(self.request_timeout));
        self.inner.call(request)
    }
}
