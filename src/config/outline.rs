//! Who may do what, and where it is recorded: all that an auditor's commands need of a configuration.
//!
//! # Invariants
//! - No secret, PIN or private key is opened for it: an auditor need not be able to read them, and systemd's credentials are there for the
//!   service only.

use std::path::Path;

use super::document::Document;
use super::report::{Finding, Findings};
use super::sources::Sources;
use super::{audit, exposure, health, hsm, key_store, policy};
use crate::audit::AuditSettings;
use crate::keystore::KeyStoreSettings;
use crate::policy::Policy;

/// A part of a configuration. What it does not hold is not checked.
#[derive(Debug)]
pub struct Outline {
    /// `[audit]`, if there is one.
    pub audit: Option<AuditSettings>,
    /// `[policy]`, if there is one.
    pub policy: Option<Policy>,
    /// `[[key_store]]`. The secrets of their credentials are made up: nobody's signature verifies with them.
    pub key_stores: Vec<KeyStoreSettings>,
    /// What is not wrong with these parts but should be known.
    pub warnings: Vec<Finding>,
}

/// Reads the outline of the configuration in `file`, and the policies that it names.
///
/// # Errors
/// All faults of these parts at once.
pub fn outline(file: &Path) -> Result<Outline, Findings> {
    let mut sources = Sources::default();
    let text = sources.text(file, Sources::read_any)?;
    let directory = file.parent().unwrap_or(Path::new("."));
    let document = Document::parse(&text, directory, sources)?.withholding_secrets();
    let outline = of(&document);
    document.value_or_faults(outline)
}

fn of(document: &Document<'_>) -> Option<Outline> {
    let root = document.root();
    exposure::check_configuration(&root);
    let (audit, policy) = (audit::settings(&root), policy::settings(&root));
    let interval = health::settings(&root).interval;
    let hsms = hsm::all(&root, interval);
    let (key_stores, policy) = (key_store::all(&root, &hsms)?, policy?);
    policy::check_names(&root, policy.as_ref(), &key_stores);
    Some(Outline {
        key_stores,
        audit: audit?,
        policy,
        warnings: document.warnings(),
    })
}
