//! What a device knows of the keys that the configuration expects on it.

/// What a device knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// The device has no such key, or several of which none is used.
    Missing,
    /// The device has the key.
    Present {
        /// It may encrypt and is not known to fail.
        encrypts: bool,
        /// It may decrypt and is not known to fail.
        decrypts: bool,
        /// Another key has the same name now. The one that was known before is used until the device is opened again.
        is_duplicated: bool,
    },
}

impl KeyState {
    /// Whether the device can do anything with the key.
    pub fn is_of_use(self) -> bool {
        match self {
            Self::Missing => false,
            Self::Present {
                encrypts, decrypts, ..
            } => encrypts || decrypts,
        }
    }
}

/// How many of the keys that a key store expects on a device are not as they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Absent, or there more than once.
    pub missing: usize,
    /// There, but they cannot do what the key store needs.
    pub unusable: usize,
}

impl KeyCounts {
    /// Counts a key of this state.
    pub fn add(&mut self, state: KeyState, must_encrypt: bool) {
        match state {
            KeyState::Missing => self.missing += 1,
            KeyState::Present {
                encrypts,
                decrypts,
                is_duplicated,
            } => {
                self.missing += usize::from(is_duplicated);
                self.unusable += usize::from(!decrypts || must_encrypt && !encrypts);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_version_need_not_encrypt() {
        let counted = |state, must_encrypt| {
            let mut counts = KeyCounts::default();
            counts.add(state, must_encrypt);
            (counts.missing, counts.unusable)
        };
        let present = |encrypts, decrypts, is_duplicated| KeyState::Present {
            encrypts,
            decrypts,
            is_duplicated,
        };
        for (state, as_primary, as_older) in [
            (KeyState::Missing, (1, 0), (1, 0)),
            (present(true, true, false), (0, 0), (0, 0)),
            (present(false, true, false), (0, 1), (0, 0)),
            (present(true, false, false), (0, 1), (0, 1)),
            (present(true, true, true), (1, 0), (1, 0)),
        ] {
            assert_eq!(counted(state, true), as_primary, "{state:?}");
            assert_eq!(counted(state, false), as_older, "{state:?}");
        }
    }
}
