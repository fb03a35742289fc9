//! The jobs of an HSM, from the request to a session.
//!
//! - [`submission`] accepts or rejects a job, and handles its outcome.
//! - [`pool`] assigns jobs to sessions; [`fair_queue`] orders the waiting jobs.
//! - [`load_estimate`] estimates how long a job would take.

pub(in crate::hsm) mod fair_queue; // plain-english: quotation
pub(in crate::hsm) mod job;
pub(in crate::hsm) mod load_estimate;
pub(in crate::hsm) mod pool;
pub(in crate::hsm) mod submission;
