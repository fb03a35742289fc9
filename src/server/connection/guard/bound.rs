//! The limit of bytes that a client may send outside requests.

/// The longest head of a request, in bytes. Also the limit of bytes between two heads that are not part of a body.
pub(in crate::server) const MAX_HEAD: usize = 64 * 1024;

/// More than [`MAX_HEAD`] bytes have arrived without a complete head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood;
