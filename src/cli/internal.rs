//! Commands that only other processes of the proxy start.

pub(super) mod front;
pub(super) mod worker;
