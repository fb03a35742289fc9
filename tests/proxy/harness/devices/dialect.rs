//! The AES-GCM dialects of devices. `XKS_TEST_DIALECT` chooses one; without it the token is used unchanged.

use std::env;

use crate::harness::control::Dialect;

/// A dialect, and its properties that matter to tests.
#[derive(Debug)]
pub struct Spoken {
    /// Its name in `XKS_TEST_DIALECT`.
    name: &'static str,
    /// The setting of the faulty module, unless the token has this dialect itself.
    pub device: Option<Dialect>,
    /// The `gcm_profile`, if `auto` would find a different one that the device supports too.
    pub configured: Option<&'static str>,
    /// Its name in the proxy's log.
    pub profile: &'static str,
    /// The length of its IVs in bytes.
    pub iv_length: usize,
    /// True if the faulty module rejects read-only sessions.
    pub rejects_read_only: bool,
}

const AS_IT_IS: Spoken = Spoken {
    name: "as-it-is",
    device: None,
    configured: None,
    profile: "caller-iv",
    iv_length: 12,
    rejects_read_only: false,
};

static ALL: [Spoken; 7] = [
    AS_IT_IS,
    Spoken {
        name: "iv-written-back",
        device: Some(Dialect::IvWrittenBack),
        profile: "iv-written-back",
        ..AS_IT_IS
    },
    Spoken {
        name: "iv-appended",
        device: Some(Dialect::IvAppended),
        profile: "iv-appended",
        iv_length: 16,
        ..AS_IT_IS
    },
    Spoken {
        // A mechanism of AWS CloudHSM, whose client SDK 5 accepts read-write sessions only.
        rejects_read_only: true,
        name: "iv-prepended",
        device: Some(Dialect::IvPrepended),
        configured: Some("iv-prepended"),
        profile: "iv-prepended",
        ..AS_IT_IS
    },
    Spoken {
        name: "short-params",
        device: Some(Dialect::ShortParams),
        profile: "caller-iv (40-byte parameters)",
        ..AS_IT_IS
    },
    Spoken {
        name: "iv-bits-required",
        device: Some(Dialect::IvBitsRequired),
        ..AS_IT_IS
    },
    Spoken {
        name: "message",
        configured: Some("message"),
        profile: "message",
        ..AS_IT_IS
    },
];

impl Spoken {
    /// Returns the dialect of this run.
    pub fn under_test() -> &'static Self {
        let wanted = match env::var("XKS_TEST_DIALECT") {
            Err(env::VarError::NotPresent) => return &ALL[0],
            wanted => wanted.expect("XKS_TEST_DIALECT is text"),
        };
        let names = ALL.each_ref().map(|spoken| spoken.name);
        let found = ALL.iter().find(|spoken| spoken.name == wanted);
        found.unwrap_or_else(|| panic!("XKS_TEST_DIALECT is one of {names:?}, not {wanted:?}"))
    }

    /// Returns the `gcm_profile` that is needed without a key to probe with, if the first guess of `auto` is wrong.
    pub fn unprobed(&self) -> Option<&'static str> {
        (self.profile != AS_IT_IS.profile).then_some(self.profile)
    }

    /// Returns whether the faulty module can be in front of the token: it has PKCS#11 2.40, without the message interface.
    pub fn suits_the_faulty_module(&self) -> bool {
        self.profile != "message"
    }
}
