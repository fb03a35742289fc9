//! The parts of a configuration that an auditor's commands need: key stores, policy and audit log.
//!
//! # Invariants
//! - No secret, PIN or private key is opened. An auditor does not need permission to read them, and the credentials of systemd exist
//!   only for the service.

use std::path::Path;

use super::files::exposure;
use super::{audit, health, hsm, key_store, policy};
use crate::audit::AuditSettings;
use crate::keystore::KeyStoreSettings;
use crate::policy::Policy;
use crate::toml_file::{Document, Finding, Findings, Section, Sources};

/// A part of a configuration. The other parts are not checked.
#[derive(Debug)]
pub struct Outline {
    /// `[audit]`, if present.
    pub audit: Option<AuditSettings>,
    /// `[policy]`, if present.
    pub policy: Option<Policy>,
    /// `[[key_store]]`. The secrets of the credentials are random, so no signature verifies with them.
    pub key_stores: Vec<KeyStoreSettings>,
    /// The warnings about these parts.
    pub warnings: Vec<Finding>,
}

/// Reads the outline of the configuration in `file`, and the policies that it names.
///
/// # Errors
/// All errors of these parts at once.
pub fn outline(file: &Path) -> Result<Outline, Findings> {
    let mut sources = Sources::default();
    let text = sources.text(file, Sources::read_any)?;
    let directory = file.parent().unwrap_or(Path::new("."));
    let document = Document::parse(&text, directory, sources)?.withholding_secrets();
    let outline = read(&document);
    document.into_result(outline)
}

fn read(document: &Document<'_>) -> Option<Outline> {
    let root = Section::root(document);
    exposure::check_document(&root);
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
