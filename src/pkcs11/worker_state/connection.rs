//! The connection to a token that was opened and probed.

use std::sync::{Arc, RwLock};

use crate::pkcs11::aes_gcm::profile::Plan;
use crate::pkcs11::health_key::check::{KeyProofs, KnownGood};
use crate::pkcs11::keys::table::KeyTable;
use crate::pkcs11::library::module::Module;
use crate::pkcs11::token::slot::{TokenIdentity, TokenSlot};

/// What the sessions share.
pub(in crate::pkcs11) struct Connection {
    pub module: Arc<Module>,
    pub slot: TokenSlot,
    pub identity: TokenIdentity,
    pub plan: Plan,
    pub keys: KeyTable,
    /// The newest ciphertext of the health check; none while there is no fit health key.
    pub known_good: RwLock<Option<Arc<KnownGood>>>,
    /// Ciphertexts of keys whose decryptions were in doubt.
    pub key_proofs: KeyProofs,
}
