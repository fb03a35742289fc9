//! The id of a connection in the pool.

/// The id of a connection in the pool. It is never used for another connection.
pub(in super::super) type Id = u64;
