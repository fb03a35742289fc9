//! The state of keys that the configuration expects on an HSM.

/// The state of a key on an HSM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// The HSM has no such key, or several, none of which is used.
    Missing,
    /// The HSM has the key.
    Present {
        /// The key allows ENCRYPT, and no failure is known.
        encrypts: bool,
        /// The key allows DECRYPT, and no failure is known.
        decrypts: bool,
        /// A second key has the same name now. The key that was known first is used until the HSM is opened again.
        is_duplicated: bool,
    },
}

impl KeyState {
    /// Returns whether the HSM can encrypt or decrypt with the key.
    pub fn is_of_use(self) -> bool {
        match self {
            Self::Missing => false,
            Self::Present {
                encrypts, decrypts, ..
            } => encrypts || decrypts,
        }
    }
}

/// The number of keys of a key store that are missing or unusable on an HSM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Keys that the HSM does not have, or has more than once.
    pub missing: usize,
    /// Keys that the HSM has, but that cannot do what the key store needs.
    pub unusable: usize,
}

impl KeyCounts {
    /// Counts a key with this state.
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
