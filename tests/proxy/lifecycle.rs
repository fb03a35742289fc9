//! Processes: start, signals, shutdown, workers, panics, clocks and memory.

mod clock_jumps;
mod memory;
pub mod panics;
mod processes;
mod shutdown;
mod start_signals;
mod unit;
pub mod workers;
