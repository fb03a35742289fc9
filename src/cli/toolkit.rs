//! The commands of the toolkit, which test a proxy over the network.

pub(super) mod bench;
pub(super) mod conformance;
pub(super) mod probe;
mod target;
