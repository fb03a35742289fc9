//! A run as it was asked for.

use std::fmt;
use std::time::Duration;

use super::mix::{Mix, Sizes};

/// How load is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Requests begin at this rate (per second), whatever becomes of them.
    Open(f64),
    /// Each connection asks again as soon as it was answered.
    Closed,
    /// Open at rates from this one upwards, to find the highest that is served well.
    Ramp(f64),
}

/// A run as it was asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How load is made.
    pub shape: Shape,
    /// How long; of a ramp each step.
    pub duration: Duration,
    /// The most connections at a time. Closed: exactly so many.
    pub connections: usize,
    /// How long a request may take from its intended time on; KMS waits 250 ms.
    pub timeout: Duration,
    /// Which operations.
    pub mix: Mix,
    /// Lengths of plaintexts, in bytes.
    pub sizes: Sizes,
    /// Length of the additional authenticated data, in bytes.
    pub aad: usize,
    /// Whether Encrypt asks for the integrity value, as KMS does.
    pub integrity: bool,
    /// Which share of requests opens a connection of its own, from 0 to 1.
    pub new_connections: f64,
    /// One Decrypt of so many has its plaintext compared; 0 for none.
    pub verify_every: u32,
}

impl Plan {
    /// The same at a fixed rate: one step of a ramp.
    pub fn at(&self, rate: f64) -> Self {
        Self {
            shape: Shape::Open(rate),
            ..self.clone()
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, .. } = self;
        match self.shape {
            Shape::Open(rate) => write!(
                f,
                "open loop at {rate:.0}/s, up to {connections} connections"
            ),
            Shape::Closed => write!(f, "closed loop on {connections} connections"),
            Shape::Ramp(rate) => {
                write!(f, "ramp from {rate:.0}/s, up to {connections} connections")
            }
        }?;
        write!(
            f,
            ", {} s, {}, plaintexts of {} bytes (length=weight), AAD of {} bytes, {}, {:.1} % new connections, timeout {} ms",
            self.duration.as_secs_f64(),
            self.mix,
            self.sizes,
            self.aad,
            if self.integrity {
                "with CDIV"
            } else {
                "without CDIV"
            },
            self.new_connections * 100.0,
            self.timeout.as_millis(),
        )
    }
}
