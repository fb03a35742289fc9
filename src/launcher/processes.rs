//! The processes that the launcher starts, and its channels to them.

pub(super) mod channel;
pub(super) mod children;
pub(super) mod front;
pub(super) mod worker;
pub(super) mod workers;
