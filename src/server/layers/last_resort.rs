//! The outermost layer: returns an error response when one of the layers that record, audit and respond panics.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::panics::{contained_call, fault_of};
use crate::server::received::Received;
use crate::server::response::{self, Response, ResponseFuture};

/// Creates [`LastResort`].
#[derive(Clone, Copy)]
pub(super) struct LastResortLayer;

/// Converts a panic of the inner layers into a response. [`super::rescue`] handles and records the panics of the layers inside it.
#[derive(Clone)]
pub(super) struct LastResort<S>(S);

impl<S> Layer<S> for LastResortLayer {
    type Service = LastResort<S>;

    fn layer(&self, inner: S) -> LastResort<S> {
        LastResort(inner)
    }
}

impl<S, B> Service<Received<B>> for LastResort<S>
where
    S: Service<Received<B>, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture<Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Received<B>) -> Self::Future {
        let version = request.head.version;
        let responding = contained_call(&mut self.0, request);
        Box::pin(async move {
            Ok(match responding.await {
                Ok(response) => response,
                Err(Ok(never)) => match never {},
                Err(Err(panicked)) => response::error(&fault_of(&panicked), version),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::received::tests::any_request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    /// Returns the response when the service panics in its call, or in its future.
    async fn response(in_call: bool) -> (u16, String) {
        let service = tower::service_fn(move |_: Received<()>| {
            assert!(!in_call, "a panic in the call");
            async {
                tokio::task::yield_now().await;
                panic!("a panic in the future");
            }
        });
        let service = service.map_response(|(): ()| Response::default());
        let last_resort = LastResortLayer.layer(service);
        let response = last_resort.oneshot(any_request()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_panic_in_the_call_or_in_the_future_gets_a_response() {
        for in_call in [true, false] {
            let (status, body) = response(in_call).await;
            assert_eq!(status, 500);
            assert!(body.contains("InternalException"), "{body}");
        }
    }
}
