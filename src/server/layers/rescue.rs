//! Converts every error and every panic of the inner layers into a JSON body of the error table (XKS API, "Errors"). No other error leaves the server.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::panics::{contained_call, fault_of};
use crate::server::received::Received;
use crate::server::response::{self, Response, ResponseFuture};
use crate::xks::Fault;

/// Creates [`Rescue`].
#[derive(Clone, Copy)]
pub(super) struct RescueLayer;

/// Converts the errors and panics of the inner service into responses.
#[derive(Clone)]
pub(super) struct Rescue<S> {
    inner: S,
}

impl<S> Layer<S> for RescueLayer {
    type Service = Rescue<S>;

    fn layer(&self, inner: S) -> Rescue<S> {
        Rescue { inner }
    }
}

impl<S, B> Service<Received<B>> for Rescue<S>
where
    S: Service<Received<B>, Response = Response, Error = Fault>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture<Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The inner layers are always ready. If one was not, its call would return an error.
        drop(self.inner.poll_ready(context));
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Received<B>) -> Self::Future {
        let record = request.record.clone();
        let version = request.head.version;
        let responding = contained_call(&mut self.inner, request);
        Box::pin(async move {
            Ok(responding.await.unwrap_or_else(|failed| {
                let fault = failed.unwrap_or_else(|panicked| fault_of(&panicked));
                let response = response::error(&fault, version);
                record.facts().fault = Some(fault);
                response
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::received::tests::any_request;
    use crate::xks::FaultKind;
    use http::header::{ALLOW, CONTENT_TYPE};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    #[tokio::test]
    async fn errors_become_json_without_their_reason() {
        let service = tower::service_fn(|_: Received<()>| async {
            Err::<Response, _>(Fault::because(FaultKind::DeviceFailed, "CKR_SECRET_DETAIL"))
        });
        let rescue = RescueLayer.layer(service);
        let response = rescue.oneshot(any_request()).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8(body.to_vec()).unwrap().contains("SECRET"));
    }

    #[tokio::test]
    async fn a_panic_becomes_json_and_is_recorded() {
        let service = tower::service_fn(|_: Received<()>| async {
            panic!("a defect");
            #[expect(unreachable_code, reason = "the type of the service")]
            Err::<Response, Fault>(FaultKind::Internal.into())
        });
        let request = any_request();
        let record = request.record.clone();
        let response = RescueLayer.layer(service).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        let fault = record.facts().fault.take();
        let reason = fault.and_then(|fault| fault.reason).unwrap_or_default();
        assert!(reason.contains("a panic"), "{reason}");
    }

    #[tokio::test]
    async fn the_response_to_a_wrong_method_names_the_allowed_one() {
        let fault = || async { Err::<Response, Fault>(FaultKind::MethodNotAllowed.into()) };
        let rescue = RescueLayer.layer(tower::service_fn(move |_: Received<()>| fault()));
        let response = rescue.oneshot(any_request()).await.unwrap();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[ALLOW], "POST");
    }
}
