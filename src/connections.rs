//! Connections of clients: where they come from.
//!
//! This module knows no TLS and no HTTP. The listeners of `server` and `admin` both use it.

mod source;

pub use source::Source;
