//! The frames between the front and a worker process, which calls the PKCS#11 library.
//!
//! ```text
//! front ── session channel: [`Job`] ──▶ worker        a few jobs at a time
//! front ◀── session channel: [`FromSession`] ── worker
//! front ── control channel: [`Order`] ──▶ worker      which keys are expected
//! front ◀── control channel: [`News`] ── worker       opened, checked, keys, log lines
//! ```
//!
//! An operator command starts its own workers, and uses the frames of [`administration`] instead of these.
//!
//! A channel is a `SOCK_SEQPACKET` pair, which ends when one of the processes ends. The frames of session channels are binary for speed,
//! and a packet has up to [`MAX_BATCH`] of them. All other frames are JSON, one per packet.
//!
//! # Invariants
//! - Each side treats the frames of the other side as hostile. Each length is checked against [`MAX_FRAME`] or [`MAX_CONTROL_FRAME`] and the
//!   limits of the type before memory is allocated. A frame with extra bytes is rejected.
//! - No frame exports, wraps, unwraps, changes or deletes a key, and no frame contains a PKCS#11 function, handle, attribute or mechanism.
//!   A compromised front can only use a key as KMS can.
//! - The `Debug` text of a frame contains no plaintext and no IV.

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
