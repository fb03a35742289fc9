//! A request as the proxy receives it from hyper.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use xks_proxy::sigv4::SignedRequest;

/// hyper's limit of header fields over HTTP/1.1.
const MAX_FIELDS: usize = 100;

/// A request: the parsed head and the body.
#[derive(Clone)]
pub struct Received {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Received {
    /// Parses a head as hyper does; the rest is the body. Returns none if hyper would reject the head.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        let httparse::Status::Complete(length) = head.parse(data).ok()? else {
            return None;
        };
        let mut headers = HeaderMap::new();
        for field in &*head.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
        }
        Some(Self {
            method: Method::from_bytes(head.method?.as_bytes()).ok()?,
            uri: head.path?.parse().ok()?,
            headers,
            body: data[length..].to_vec(),
        })
    }

    /// Returns the request for the verification of its signature.
    pub fn signed(&self) -> SignedRequest<'_> {
        SignedRequest {
            method: self.method.as_str(),
            path: self.uri.path(),
            query: self.uri.query(),
            headers: &self.headers,
            authority: None,
            body: &self.body,
        }
    }

    /// Returns the value of a header field; none if it is absent or not text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
