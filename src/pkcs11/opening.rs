//! A token that is open.

use std::sync::{Arc, RwLock};

use super::health::{KeyProofs, KnownGood};
use super::keys::KeyTable;
use super::module::Module;
use super::profile::Plan;
use super::slot::{TokenIdentity, TokenSlot};

/// What the sessions share.
pub(super) struct Opening {
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
