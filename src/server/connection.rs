//! A connection of the server: accepted, its TLS handshake, its requests, and its end.
//!
//! `listener` accepts it and starts its task. In this task `serve` runs the `handshake`, then hyper over the stream of `guard`. `drive` ends it after a
//! timeout, at a drain, or when another connection displaces it. `activity` is the state that guard, requests and `drive` share.

mod activity;
mod drive;
mod executor;
mod guard;
pub(super) mod handshake;
pub(super) mod listener;
pub(super) mod serve;
