//! Key material, encryption contexts, ciphertext blobs and random values.

pub(super) mod blob;
pub(super) mod context;
pub(super) mod material;
pub(super) mod random;
