//! The number of a connection.

/// A connection in the pool; never used again after it has left.
pub(in super::super) type Id = u64;
