//! HTTP/1.1, HTTP/2 and PROXY protocol: malformed input, errors, limits and the age of connections.

mod connection_age;
mod cut_bodies;
mod garbage;
mod h2_errors;
mod http2;
mod http2_limits;
mod listeners;
mod proxy_protocol;
