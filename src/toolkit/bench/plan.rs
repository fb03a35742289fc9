//! The parameters of a run.

use std::fmt;
use std::time::Duration;

use super::mix::{Mix, Sizes};

/// The type of load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Requests start at this rate (per second), independent of the responses.
    Open(f64),
    /// Each connection sends its next request as soon as it has a response.
    Closed,
    /// An open loop at increasing rates from this one, to find the highest rate that the target sustains.
    Ramp(f64),
}

/// The parameters of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The type of load.
    pub shape: Shape,
    /// The duration of the run; for a ramp, of each step.
    pub duration: Duration,
    /// The maximum number of connections; in a closed loop, the exact number.
    pub connections: usize,
    /// The timeout of a request from its intended start. KMS waits 250 ms.
    pub timeout: Duration,
    /// The operations.
    pub mix: Mix,
    /// The lengths of plaintexts in bytes.
    pub sizes: Sizes,
    /// The length of the additional authenticated data in bytes.
    pub aad: usize,
    /// True if Encrypt requests the integrity value, as KMS does.
    pub integrity: bool,
    /// The share of requests that open a new connection, from 0 to 1.
    pub new_connections: f64,
    /// One of this many Decrypt responses has its plaintext compared; 0 for none.
    pub verify_every: u32,
}

impl Plan {
    /// Returns the same plan at a fixed rate: one step of a ramp.
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
