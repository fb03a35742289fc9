//! Requests as bytes, one at a time and blocking: what judging a proxy needs and a well-mannered client would not send.
//!
//! Nothing is normalised, added or repaired but the framing. An answer is read as RFC 9112 has it, or is an error.

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
pub use hello::{Greeting, Hello, greet};
pub use http2::{Http2Answer, exchange_http2};
pub use request::Request;
pub use response::Response;
pub use sign::Signer;
pub use tls::{HANDSHAKE_FAILURE, Suite, Tls, TlsVersion, alert_of};
