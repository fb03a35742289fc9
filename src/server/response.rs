//! The responses of the server: JSON bodies with their status and header fields (XKS API, "Errors").

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode, Version};
use http_body_util::Full;

use crate::xks::{Fault, FaultKind};

/// The response of every layer.
pub(super) type Response = http::Response<Full<Bytes>>;

/// The future of a layer's response.
pub(super) type ResponseFuture<E> = Pin<Box<dyn Future<Output = Result<Response, E>> + Send>>;

/// The content type of every body.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Returns a response with status 200 and this JSON body.
pub(super) fn success(body: Vec<u8>) -> Response {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Returns the response to a request that failed. `version` is that of the request.
pub(super) fn error(fault: &Fault, version: Version) -> Response {
    let mut response = success(fault.body());
    *response.status_mut() =
        StatusCode::from_u16(fault.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if fault.kind == FaultKind::MethodNotAllowed {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if leaves_body_unread(fault.kind) && version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Returns the whole HTTP/1.1 response to bytes that are not HTTP. The connection closes after it.
pub(super) fn not_http() -> Vec<u8> {
    let body = Fault::from(FaultKind::NotHttp).body();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// Returns whether a part of the request's body is still unread after this error. HTTP/1 cannot read another request then.
fn leaves_body_unread(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::BodyTooLarge | FaultKind::BodyIncomplete | FaultKind::UnverifiedOverload
    )
}
