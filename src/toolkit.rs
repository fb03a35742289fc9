//! The operator's tools on the other side of the wire: they know a proxy, ours or another's, only by what it answers.

pub mod bench;
pub mod conformance;
pub mod probe;
