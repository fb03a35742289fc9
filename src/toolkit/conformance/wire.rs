//! A blocking client that sends requests as bytes, also those that a correct client cannot send.
//!
//! It changes nothing in a request but the framing. A response must follow RFC 9112; otherwise it is an error.

mod connection;
mod endpoint;
mod hello;
mod http2;
mod request;
mod response;
mod sign;
mod tls;

pub use connection::Connection;
pub use endpoint::Endpoint;
pub use hello::{Hello, ServerReply, greet};
pub use http2::{Http2Answer, exchange_http2};
pub use request::Request;
pub use response::Response;
pub use sign::Signer;
pub use tls::{HANDSHAKE_FAILURE, Suite, Tls, TlsVersion, received_alert};
