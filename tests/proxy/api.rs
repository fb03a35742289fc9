//! The operations of the API: paths, bodies, framing, lengths and legacy ciphertexts.

mod base64_limits;
mod bodies;
mod framing;
mod happy;
mod legacy;
mod paths;
