//! The connection to an open and probed token.

use std::sync::{Arc, RwLock};

use crate::pkcs11::aes_gcm::profile::Plan;
use crate::pkcs11::health_key::check::{KnownCiphertexts, KnownGood};
use crate::pkcs11::keys::table::KeyTable;
use crate::pkcs11::library::module::Module;
use crate::pkcs11::token::slot::{TokenIdentity, TokenSlot};

/// The open token, shared by the sessions.
pub(in crate::pkcs11) struct Connection {
    pub module: Arc<Module>,
    pub slot: TokenSlot,
    pub identity: TokenIdentity,
    pub plan: Plan,
    pub keys: KeyTable,
    /// The newest ciphertext of the health check; `None` without a suitable health key.
    pub known_good: RwLock<Option<Arc<KnownGood>>>,
    /// Known-good ciphertexts of keys whose decryption errors were tested.
    pub known_ciphertexts: KnownCiphertexts,
}
