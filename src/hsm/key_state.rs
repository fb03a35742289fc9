//! What the front wants to know of a device's keys, answered without a call of the device.

use std::sync::Arc;

use super::key_looks::Presence;
use super::proof::Rejection;
use super::shared::Shared;
use crate::ekm::{KeyKind, KeySelector, KeyState};

impl Shared {
    /// Returns the state of the key; none while the device is not open.
    pub(super) fn key_state(&self, selector: &KeySelector) -> Option<KeyState> {
        let opening = self.now_open()?;
        Some(match opening.keys.presence(selector) {
            Presence::None | Presence::Several => KeyState::Missing,
            Presence::One(key, is_duplicated) => {
                let works = key.attributes.kind == KeyKind::Aes(256)
                    && self.rejections.of(selector).is_none();
                KeyState::Present {
                    encrypts: works && key.attributes.usage.encrypt,
                    decrypts: works && key.attributes.usage.decrypt,
                    is_duplicated,
                }
            }
        })
    }

    /// Why the key is rejected, if it is. A device that does not serve has nothing to say of its keys.
    pub(super) fn rejection(&self, selector: &KeySelector) -> Option<Arc<Rejection>> {
        self.rejections.of(selector).filter(|_| self.is_usable())
    }
}
