//! Encrypt, Decrypt, ReEncrypt and the operations that generate data keys.

pub(in crate::simulator) mod ciphertexts;
pub(in crate::simulator) mod data_keys;
pub(in crate::simulator) mod double_encryption;
