//! The start of the front, before it has a runtime: signals, the first reading of the configuration, the sandbox.

pub(super) mod first_reading;
pub(super) mod first_signals;
pub(super) mod front_sandbox;
pub(super) mod signals;
