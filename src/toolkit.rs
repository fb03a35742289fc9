//! Tools for operators. They use a proxy, ours or another one, over the network only.

pub mod bench;
pub mod conformance;
pub mod probe;
