//! The ways of AES-GCM that the suite can run under. `XKS_TEST_DIALECT` chooses; without it the token speaks as it is.

use std::env;

use crate::harness::control::Dialect;

/// A way of AES-GCM, and what a test has to know of it.
#[derive(Debug)]
pub struct Spoken {
    /// What `XKS_TEST_DIALECT` calls it.
    name: &'static str,
    /// What the faulty module does for it, unless the token speaks it by itself.
    pub device: Option<Dialect>,
    /// `gcm_profile`, where `auto` would find another way that the device speaks too.
    pub configured: Option<&'static str>,
    /// What the proxy's log calls it.
    pub profile: &'static str,
    /// How long its IVs are.
    pub iv_length: usize,
    /// Whether the faulty module rejects read-only sessions.
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
        // A mechanism of AWS CloudHSM, whose client SDK 5 takes read-write sessions only.
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
    /// The one that this run is about.
    pub fn under_test() -> &'static Self {
        let wanted = match env::var("XKS_TEST_DIALECT") {
            Err(env::VarError::NotPresent) => return &ALL[0],
            wanted => wanted.expect("XKS_TEST_DIALECT is text"),
        };
        let names = ALL.each_ref().map(|spoken| spoken.name);
        let found = ALL.iter().find(|spoken| spoken.name == wanted);
        found.unwrap_or_else(|| panic!("XKS_TEST_DIALECT is one of {names:?}, not {wanted:?}"))
    }

    /// What `gcm_profile` must be where there is nothing to probe with, and the first guess of `auto` is wrong.
    pub fn unprobed(&self) -> Option<&'static str> {
        (self.profile != AS_IT_IS.profile).then_some(self.profile)
    }

    /// Whether the faulty module can stand before the token: it speaks PKCS#11 2.40, which has no messages.
    pub fn suits_the_faulty_module(&self) -> bool {
        self.profile != "message"
    }
}
