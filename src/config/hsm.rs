//! `[[hsm]]`.

mod shared;

use std::ffi::CString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use super::{Unique, exposure, files, values};
use crate::hsm::{GcmProfile, HsmSettings, TokenSelector};
use crate::secret::Secret;

/// `label` of `CK_TOKEN_INFO` (PKCS#11), in bytes.
const MAX_LABEL: usize = 32;

/// `serialNumber` of `CK_TOKEN_INFO` (PKCS#11), in bytes.
const MAX_SERIAL: usize = 16;

/// Every device; None when one has a fault.
pub(super) fn all(root: &Section<'_>, health_interval: Duration) -> Option<Vec<HsmSettings>> {
    let sections = root.sections("hsm");
    if sections.is_empty() {
        return root.missing("hsm", "[{ name = \"hsm-a\", module = \"…\", … }]");
    }
    let mut names = Unique::new();
    let settings: Vec<_> = sections
        .iter()
        .map(|section| {
            let settings = one(section, health_interval);
            if let Some(settings) = &settings {
                names.note(section, "name", &settings.name);
            }
            settings
        })
        .collect();
    check_parameters(&sections, &settings);
    shared::warn(&sections, &settings);
    settings.into_iter().collect()
}

fn one(section: &Section<'_>, health_interval: Duration) -> Option<HsmSettings> {
    let name = name(section);
    let module = section.required_string("module", "\"/usr/lib/softhsm/libsofthsm2.so\"");
    let module = module.map(|path| section.resolve(path));
    if let Some(module) = &module {
        exposure::check_unread(section, "module", module);
    }
    let parameters = parameters(section);
    let token = token(section);
    let pin = pin(section);
    let sessions = section.integer("sessions", 1..=1_024).unwrap_or(16);
    let gcm_profile = gcm_profile(section).unwrap_or(GcmProfile::Auto);
    let verify_encryptions = section.boolean("verify_encryptions").unwrap_or(false);
    let health_key = section.required_if_there("health_key");
    section.finish();
    Some(HsmSettings {
        name: name?.into(),
        module: module?,
        parameters,
        token: token?,
        pin: pin?,
        sessions: usize::try_from(sessions).unwrap_or(16),
        gcm_profile,
        verify_encryptions,
        health_key: health_key.unwrap_or("xks-health").to_owned(),
        health_interval,
    })
}

/// The string for `C_Initialize`, which ends with its first NUL byte in C.
fn parameters(section: &Section<'_>) -> Option<CString> {
    let text = section.required_if_there("parameters")?;
    let parameters = CString::new(text);
    if parameters.is_err() {
        section.fault("parameters", "must not contain a NUL character");
    }
    parameters.ok()
}

/// One library is initialised once per process, with one string.
fn check_parameters(sections: &[Section<'_>], all: &[Option<HsmSettings>]) {
    let mut seen: Vec<(PathBuf, &HsmSettings)> = Vec::new();
    for (section, hsm) in sections.iter().zip(all) {
        let Some(hsm) = hsm else { continue };
        // One file under two names is one library.
        let file = fs::canonicalize(&hsm.module).unwrap_or_else(|_| hsm.module.clone());
        let other = seen
            .iter()
            .find(|(path, first)| *path == file && first.parameters != hsm.parameters);
        if let Some((_, first)) = other {
            section.fault(
                "parameters",
                format!("must be the same as for {:?}, which has the same module: a library is initialised once", &*first.name),
            );
        }
        seen.push((file, hsm));
    }
}

/// The PIN, or `"none"` for a token without a login: that a PIN was forgotten must not look like that.
fn pin(section: &Section<'_>) -> Option<Option<Secret>> {
    match section.is_word("pin", "none") {
        true => Some(None),
        false => files::secret(section, "pin").map(Some),
    }
}

/// A name for logs, metrics and the health answer.
pub(super) fn name<'a>(section: &Section<'a>) -> Option<&'a str> {
    let name = section.required_string("name", "\"a-name\"")?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match name.len() <= 64 && name.bytes().all(legal) {
        true => Some(name),
        false => {
            section.fault("name", "may have 64 letters, digits, '-', '_' and '.' only");
            None
        }
    }
}

fn token(parent: &Section<'_>) -> Option<TokenSelector> {
    let Some(section) = parent.section("token") else {
        return parent.missing("token", "{ label = \"xks\" }");
    };
    let selected = match (section.string("label"), section.string("serial")) {
        (Some(label), None) => {
            check_token_text(&section, "label", label, MAX_LABEL);
            Some(TokenSelector::Label(label.to_owned()))
        }
        (None, Some(serial)) => {
            check_token_text(&section, "serial", serial, MAX_SERIAL);
            Some(TokenSelector::Serial(serial.to_owned()))
        }
        _ => {
            parent.fault("token", "must have either a label or a serial");
            None
        }
    };
    section.finish();
    selected
}

/// A blank text is an error: it names no token. A text that no token can have is warned about: the HSM would never be
/// found. Tokens fill the rest of the field with blanks.
fn check_token_text(section: &Section<'_>, key: &str, text: &str, max: usize) {
    let length = text.len();
    if let Some(what) = values::blank(text) {
        section.fault(key, what);
    } else if length > max {
        let what = format!("has {length} bytes, but the {key} of a token has at most {max}");
        section.warn(key, format!("{what}: no token matches it"));
    } else if text.ends_with(' ') {
        let what = format!("ends with a blank, but blanks at the end are not part of the {key}");
        section.warn(key, format!("{what}: no token matches it"));
    }
}

fn gcm_profile(section: &Section<'_>) -> Option<GcmProfile> {
    let profiles = [
        ("auto", GcmProfile::Auto),
        ("caller-iv", GcmProfile::CallerIv),
        ("iv-written-back", GcmProfile::IvWrittenBack),
        ("iv-appended", GcmProfile::IvAppended),
        ("iv-prepended", GcmProfile::IvPrepended),
        ("message", GcmProfile::Message),
    ];
    section.choice("gcm_profile", &profiles)
}
