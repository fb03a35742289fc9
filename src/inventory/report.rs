//! What an examination finds, as data: commands print it.

use serde::Serialize;

/// What there is to say of HSMs and keys.
#[derive(Debug, Serialize)]
pub struct Examination {
    /// Each HSM.
    pub hsms: Vec<TokenReport>,
    /// Each version of each key.
    pub keys: Vec<VersionReport>,
    /// The key that seals the audit trail, if it was examined.
    pub audit_key: Option<SealKeyReport>,
    /// What concerns several keys at once.
    pub faults: Vec<String>,
}

/// The key that seals the audit trail.
#[derive(Debug, Serialize)]
pub struct SealKeyReport {
    /// By what it is found.
    pub selector: String,
    /// What each HSM has of it. One HSM that has it is enough.
    pub hsms: Vec<Holding>,
    /// What is wrong and what to do.
    pub faults: Vec<String>,
}

impl Examination {
    /// The same without what concerns the health keys only.
    pub fn without_health_keys(mut self) -> Self {
        // Such an HSM serves, so its AES-GCM is known well enough.
        let serves = |hsm: &&mut TokenReport| hsm.gcm_profile.is_some();
        for hsm in self.hsms.iter_mut().filter(serves) {
            hsm.faults.clear();
        }
        self
    }

    /// Every remark, with what it is a remark on.
    pub fn all_remarks(&self) -> Vec<String> {
        let of_key = |key: &VersionReport| {
            let name = key.name();
            let remarks = key.remarks.iter();
            let named: Vec<_> = remarks.map(|text| format!("{name}: {text}")).collect();
            named
        };
        let of_keys = self.keys.iter().flat_map(of_key);
        self.shared_tokens().into_iter().chain(of_keys).collect()
    }

    /// HSMs that say the same of themselves, serial number included.
    fn shared_tokens(&self) -> Vec<String> {
        let earlier = |at: usize, hsm: &TokenReport| {
            let mut before = self.hsms.iter().take(at);
            let first = before.find(|other| other.token.is_some() && other.token == hsm.token)?;
            let (first, name) = (&first.name, &hsm.name);
            let token = hsm.token.as_deref().unwrap_or_default();
            Some(format!(
                "{first} and {name}: both are {token}; if they are one token, failover between them has no effect"
            ))
        };
        let hsms = self.hsms.iter().enumerate();
        hsms.filter_map(|(at, hsm)| earlier(at, hsm)).collect()
    }

    /// Every fault, with what it is a fault of.
    pub fn all_faults(&self) -> Vec<String> {
        let of_hsms = self.hsms.iter().flat_map(|hsm| {
            let name = &hsm.name;
            hsm.faults
                .iter()
                .map(move |fault| format!("{name}: {fault}"))
        });
        let of_keys = self.keys.iter().flat_map(|key| {
            let faults = key.faults.iter();
            faults.map(|fault| format!("{}: {fault}", key.name()))
        });
        let of_audit_key = self.audit_key.iter().flat_map(|key| {
            let faults = key.faults.iter();
            faults.map(|fault| format!("audit.key: {fault}"))
        });
        let all = of_hsms.chain(of_keys).chain(of_audit_key);
        all.chain(self.faults.iter().cloned()).collect()
    }
}

/// One HSM.
#[derive(Debug, Serialize)]
pub struct TokenReport {
    /// Its name in the configuration.
    pub name: String,
    /// What it says of itself; none when it could not be opened.
    pub token: Option<String>,
    /// How it does AES-GCM.
    pub gcm_profile: Option<String>,
    /// Whether a check with its health key has proved that.
    pub is_proved: bool,
    /// What is wrong and what to do.
    pub faults: Vec<String>,
}

/// One version of a key.
#[derive(Debug, Serialize)]
pub struct VersionReport {
    /// The key store.
    pub store: String,
    /// The key's id.
    pub key: String,
    /// The version's number.
    pub version: u32,
    /// Whether it is the version that encrypts.
    pub is_primary: bool,
    /// Whether store and key are enabled.
    pub is_enabled: bool,
    /// By what it is found.
    pub selector: String,
    /// What each HSM of the store has of it.
    pub hsms: Vec<Holding>,
    /// Whether these are one key.
    pub same_key: SameKey,
    /// Why KMS would refuse it, or why it cannot do what this version is for; empty when nothing is in the way.
    pub objections: Vec<String>,
    /// What is wrong and what to do.
    pub faults: Vec<String>,
    /// Facts that are not faults, but that the operator should know.
    pub remarks: Vec<String>,
    /// How often it has encrypted since the running proxy's start, if that can be asked.
    pub encryptions: Option<u64>,
}

impl VersionReport {
    /// What it is called in a message.
    pub fn name(&self) -> String {
        format!("{}/{} version {}", self.store, self.key, self.version)
    }
}

/// What one HSM has of one version.
#[derive(Debug, Serialize)]
pub struct Holding {
    /// The HSM.
    pub hsm: String,
    /// How many keys answer to the name; none: the HSM could not be asked.
    pub found: Option<usize>,
    /// The key, when there is exactly one.
    pub key: Option<HeldKey>,
}

/// A key on an HSM.
#[derive(Debug, Serialize)]
pub struct HeldKey {
    /// `CKA_LABEL`, when it is a text.
    pub label: Option<String>,
    /// `CKA_ID` in hexadecimal.
    pub cka_id: String,
    /// Such as `AES-256`.
    pub kind: String,
    /// Such as `ENCRYPT`, as the attributes are called.
    pub usage: Vec<&'static str>,
    /// `CKA_SENSITIVE`; null where the device does not say.
    pub sensitive: Option<bool>,
    /// `CKA_EXTRACTABLE`.
    pub extractable: Option<bool>,
    /// `CKA_ALWAYS_SENSITIVE`.
    pub always_sensitive: Option<bool>,
    /// `CKA_NEVER_EXTRACTABLE`.
    pub never_extractable: Option<bool>,
    /// `CKA_LOCAL`.
    pub local: Option<bool>,
}

/// Whether the HSMs hold one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "detail", rename_all = "snake_case")]
pub enum SameKey {
    /// Fewer than two HSMs have it.
    NotCompared,
    /// What one encrypted, the others decrypted.
    Same,
    /// They hold different keys.
    Different,
    /// It could not be proved, for this reason.
    Unproved(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hsm(name: &str, token: Option<&str>) -> TokenReport {
        TokenReport {
            name: name.to_owned(),
            token: token.map(str::to_owned),
            gcm_profile: None,
            is_proved: false,
            faults: Vec::new(),
        }
    }

    #[test]
    fn hsms_that_say_the_same_of_themselves_are_remarked_on() {
        let token = "SoftHSM project, SoftHSM v2, serial 1";
        let other = "SoftHSM project, SoftHSM v2, serial 2";
        let examination = Examination {
            hsms: vec![
                hsm("a", Some(token)),
                hsm("b", Some(other)),
                hsm("c", None),
                hsm("d", None),
                hsm("e", Some(token)),
            ],
            keys: Vec::new(),
            audit_key: None,
            faults: Vec::new(),
        };
        let remarks = examination.all_remarks();
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        let start = format!("a and e: both are {token}; if they are one token");
        assert!(remarks[0].starts_with(&start), "{remarks:?}");
    }
}
