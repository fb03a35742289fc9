//! The bound of what comes without a request.

/// The longest head of a request, in bytes, and the most bytes between two heads that are not part of a body.
pub(in crate::server) const MAX_HEAD: usize = 64 * 1024;

/// More than [`MAX_HEAD`] bytes without a complete head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood;
