//! The frames between the front and a worker, which calls the PKCS#11 library in a process of its own.
//!
//! ```text
//! front ── session channel: [`Job`] ──▶ worker        a few in flight
//! front ◀── session channel: [`FromSession`] ── worker
//! front ── control channel: [`Order`] ──▶ worker      which keys are expected
//! front ◀── control channel: [`News`] ── worker       opened, checked, keys, log lines
//! ```
//!
//! A command of the operator has workers of its own, with the frames of [`administration`] instead of these.
//!
//! A channel is one `SOCK_SEQPACKET` pair: a packet is a frame, and the end of a process is the end of its channels. Frames of jobs are
//! binary, because there is one for each request; a packet has up to [`MAX_BATCH`] of them. The others are JSON.
//!
//! # Invariants
//! - Each side treats the frames of the other one as hostile: every length is checked against [`MAX_FRAME`] or [`MAX_CONTROL_FRAME`] and the limits of the type before
//!   anything is allocated, and a frame with bytes left over is rejected.
//! - There is no frame that exports, wraps, unwraps, changes or deletes a key, and none that carries a PKCS#11 function, handle, attribute or
//!   mechanism. A front that is taken over can do with a key what KMS can do, and nothing else.
//! - `Debug` of a frame shows no plaintext and no IV.

pub mod administration;
pub mod launch;
pub mod packet;

mod control;
mod jobs;
mod settings;
mod wire;

pub use administration::token_key::{GcmFinding, KeyProtection, NewKey, TokenKey};
pub use control::expected_list::{Expected, ExpectedList, ListTooLong, MAX_EXPECTED_KEYS};
pub use control::{
    ControlError, Health, KeyNews, Line, LineLevel, MAX_CONTROL_FRAME, News, Order, ProofId,
    WireSelector,
};
pub use jobs::answer::{Answer, Cost, Failed, FromSession, Outcome};
pub use jobs::batch::{Batch, MAX_BATCH};
pub use jobs::job::{Job, MAX_SELECTOR, Task};
pub use settings::pin::{PinError, PinFingerprint, PinReference};
pub use settings::{Environment, GcmProfile, HsmSettings, Pkcs11Settings, TokenSelector};
pub use wire::{FrameError, MAX_FRAME, short};

#[cfg(test)]
mod tests;
