//! The worker's side of the launcher: the channel, the parts that a worker gets, permission for logins.

pub(super) mod link;
pub(super) mod logins;
pub(super) mod parts;
