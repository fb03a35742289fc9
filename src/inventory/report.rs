//! The result of an examination, as data that commands print.

use serde::Serialize;

/// The result of an examination of HSMs and keys.
#[derive(Debug, Serialize)]
pub struct Examination {
    /// The reports on all HSMs.
    pub hsms: Vec<TokenReport>,
    /// The reports on all key versions.
    pub keys: Vec<VersionReport>,
    /// The key that seals the audit trail, if it was examined.
    pub audit_key: Option<SealKeyReport>,
    /// Errors that concern several keys.
    pub faults: Vec<String>,
}

/// The key that seals the audit trail.
#[derive(Debug, Serialize)]
pub struct SealKeyReport {
    /// The label or ID that selects the key on an HSM.
    pub selector: String,
    /// Which HSMs have the key. One is enough.
    pub hsms: Vec<Holding>,
    /// Errors, with what to do.
    pub faults: Vec<String>,
}

impl Examination {
    /// Removes errors that concern only health keys.
    pub fn without_health_keys(mut self) -> Self {
        // An HSM with a GCM profile serves; its only errors concern the health key.
        let serves = |hsm: &&mut TokenReport| hsm.gcm_profile.is_some();
        for hsm in self.hsms.iter_mut().filter(serves) {
            hsm.faults.clear();
        }
        self
    }

    /// Returns every remark, with its HSM or key.
    pub fn all_remarks(&self) -> Vec<String> {
        let key_remarks = |key: &VersionReport| {
            let name = key.name();
            let remarks = key.remarks.iter();
            let named: Vec<_> = remarks.map(|text| format!("{name}: {text}")).collect();
            named
        };
        let all_key_remarks = self.keys.iter().flat_map(key_remarks);
        self.shared_tokens()
            .into_iter()
            .chain(all_key_remarks)
            .collect()
    }

    /// Returns remarks on HSMs that report the same token, including its serial number.
    fn shared_tokens(&self) -> Vec<String> {
        let earlier = |at: usize, hsm: &TokenReport| {
            let mut before = self.hsms.iter().take(at);
            let first = before.find(|other| other.token.is_some() && other.token == hsm.token)?;
            let (first, name) = (&first.name, &hsm.name);
            let token = hsm.token.as_deref().unwrap_or_default();
            Some(format!(
                "{first} and {name}: both are {token}; if they are the same token, failover between them has no effect"
            ))
        };
        let hsms = self.hsms.iter().enumerate();
        hsms.filter_map(|(at, hsm)| earlier(at, hsm)).collect()
    }

    /// Returns every error, with its HSM or key.
    pub fn all_errors(&self) -> Vec<String> {
        let hsm_errors = self.hsms.iter().flat_map(|hsm| {
            let name = &hsm.name;
            hsm.faults
                .iter()
                .map(move |fault| format!("{name}: {fault}"))
        });
        let key_errors = self.keys.iter().flat_map(|key| {
            let faults = key.faults.iter();
            faults.map(|fault| format!("{}: {fault}", key.name()))
        });
        let audit_key_errors = self.audit_key.iter().flat_map(|key| {
            let faults = key.faults.iter();
            faults.map(|fault| format!("audit.key: {fault}"))
        });
        let all = hsm_errors.chain(key_errors).chain(audit_key_errors);
        all.chain(self.faults.iter().cloned()).collect()
    }
}

/// The report on one HSM.
#[derive(Debug, Serialize)]
pub struct TokenReport {
    /// Its name in the configuration.
    pub name: String,
    /// Its vendor, model and serial number, as it reports them; none if it could not be opened.
    pub token: Option<String>,
    /// Its GCM profile: how it performs AES-GCM.
    pub gcm_profile: Option<String>,
    /// True if a check with its health key has proved the profile.
    pub is_proved: bool,
    /// Errors, with what to do.
    pub faults: Vec<String>,
}

/// The report on one version of a key.
#[derive(Debug, Serialize)]
pub struct VersionReport {
    /// The key store.
    pub store: String,
    /// The key's id.
    pub key: String,
    /// The version's number.
    pub version: u32,
    /// True if it is the version that encrypts.
    pub is_primary: bool,
    /// True if store and key are enabled.
    pub is_enabled: bool,
    /// The label or ID that selects the key on an HSM.
    pub selector: String,
    /// Which HSMs of the store have the key.
    pub hsms: Vec<Holding>,
    /// The comparison of the keys on the HSMs.
    pub same_key: SameKey,
    /// Why KMS would reject the key, or why the version cannot do what it is used for.
    pub objections: Vec<String>,
    /// Errors, with what to do.
    pub faults: Vec<String>,
    /// Facts that are not errors, but that the operator should know.
    pub remarks: Vec<String>,
    /// The encryptions since the start of the running proxy, if its metrics can be read.
    pub encryptions: Option<u64>,
}

impl VersionReport {
    /// Returns its name in messages.
    pub fn name(&self) -> String {
        format!("{}/{} version {}", self.store, self.key, self.version)
    }
}

/// The keys of one HSM for one version.
#[derive(Debug, Serialize)]
pub struct Holding {
    /// The HSM.
    pub hsm: String,
    /// The number of keys with this name; none if the HSM could not be read.
    pub found: Option<usize>,
    /// The key, if there is exactly one.
    pub key: Option<HeldKey>,
}

/// A key on an HSM.
#[derive(Debug, Serialize)]
pub struct HeldKey {
    /// `CKA_LABEL`, if it is valid text.
    pub label: Option<String>,
    /// `CKA_ID` in hexadecimal.
    pub cka_id: String,
    /// The kind of key, such as `AES-256`.
    pub kind: String,
    /// The usage attributes that are set, such as `ENCRYPT`.
    pub usage: Vec<&'static str>,
    /// `CKA_SENSITIVE`; none if the HSM does not report it, as for the following.
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

/// The result of a comparison of the keys on several HSMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "detail", rename_all = "snake_case")]
pub enum SameKey {
    /// Fewer than two HSMs have the key.
    NotCompared,
    /// The HSMs decrypted what one of them encrypted.
    Same,
    /// The HSMs hold different keys.
    Different,
    /// Equality could not be proved, for this reason.
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
    fn hsms_that_report_the_same_token_have_a_remark() {
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
        let start = format!("a and e: both are {token}; if they are the same token");
        assert!(remarks[0].starts_with(&start), "{remarks:?}");
    }
}
