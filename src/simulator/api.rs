//! The operations of the KMS API: one part for each kind of resource, and the table that selects the operation.

pub(super) mod authenticate;
pub(super) mod authorize;
pub(super) mod cryptography;
pub(super) mod dispatch;
pub(super) mod grants;
pub(super) mod keys;
pub(super) mod proxy_calls;
pub(super) mod stores;
pub(super) mod unsupported;
