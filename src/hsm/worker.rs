//! A worker process as the front sees it: its channels, its sessions, and what it reports.
//!
//! - [`running`] reads the channels of a worker until it ends.
//! - [`session`] sends jobs to one session of the worker, and reads the answers.
//! - [`view`] has the sessions and the last reports of a worker; [`key_view`] has its reports on keys.
//! - [`log_relay`] and [`library_output`] write its output to the log.

pub(in crate::hsm) mod channel;
pub(in crate::hsm) mod key_view;
pub(in crate::hsm) mod library_output;
pub(in crate::hsm) mod log_relay;
pub(in crate::hsm) mod running;
pub(in crate::hsm) mod session;
pub(in crate::hsm) mod view;
