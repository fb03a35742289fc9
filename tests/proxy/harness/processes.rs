//! Processes that tests start: the proxy, its commands, the KMS simulator.

pub mod command;
pub mod daemon;
pub mod process;
pub mod reload;
#[cfg(feature = "simulator")]
pub mod simulator;
#[cfg(feature = "simulator")]
pub mod system;
pub mod target;
pub mod terminal;
