//! `[[hsm]]`.

mod environment;
mod pin;
mod shared;
mod writable;

use std::ffi::CString;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::section::Section;
use super::{Unique, exposure, files, values};
use crate::hsm::{GcmProfile, HsmSettings, TokenSelector};

pub(super) use writable::check as check_writable;

/// `label` of `CK_TOKEN_INFO` (PKCS#11), in bytes.
const MAX_LABEL: usize = 32;

/// `serialNumber` of `CK_TOKEN_INFO` (PKCS#11), in bytes.
const MAX_SERIAL: usize = 16;

/// `hang_timeout`: nobody waits longer for an answer.
const HANG_TIMEOUT: Duration = Duration::from_secs(2);
const HANG_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);

/// `open_timeout`: a token with thousands of keys takes seconds.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
const OPEN_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

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
    shared::warn(&sections, &settings);
    settings.into_iter().collect()
}

/// One device; none when it has an error.
pub(super) fn one(section: &Section<'_>, health_interval: Duration) -> Option<HsmSettings> {
    let name = name(section);
    let module = section.required_string("module", "\"/usr/lib/softhsm/libsofthsm2.so\"");
    let module = module.map(|path| section.resolve(path));
    if let Some(module) = &module {
        exposure::check_unread(section, "module", module);
    }
    let parameters = parameters(section);
    let token = token(section);
    let pin = pin::reference(section);
    let environment = environment::settings(section, pin.as_ref());
    let writable = writable::paths(section);
    let hang_timeout = section.duration("hang_timeout", HANG_TIMEOUTS);
    let open_timeout = section.duration("open_timeout", OPEN_TIMEOUTS);
    let danger_no_sandbox = danger_no_sandbox(section);
    let sessions = section.integer("sessions", 1..=1_024).unwrap_or(16);
    let gcm_profile = gcm_profile(section).unwrap_or(GcmProfile::Auto);
    let verify_encryptions = section.boolean("verify_encryptions").unwrap_or(false);
    let health_key = section.required_if_there("health_key");
    section.finish();
    let settings = HsmSettings {
        name: name?.into(),
        module: files::absolute(&module?),
        parameters,
        environment: environment?,
        writable: writable?,
        danger_no_sandbox,
        token: token?,
        pin: pin?,
        sessions: usize::try_from(sessions).unwrap_or(16),
        hang_timeout: hang_timeout.unwrap_or(HANG_TIMEOUT),
        open_timeout: open_timeout.unwrap_or(OPEN_TIMEOUT),
        gcm_profile,
        verify_encryptions,
        health_key: health_key.unwrap_or("xks-health").to_owned(),
        health_interval,
    };
    let encoded = settings.for_worker().encode();
    encoded
        .map_err(|problem| section.fault("", problem))
        .ok()
        .map(|_| settings)
}

fn danger_no_sandbox(section: &Section<'_>) -> bool {
    let key = "danger_no_sandbox";
    let is_set = section.boolean(key).unwrap_or(false);
    if is_set {
        section.warn(
            key,
            "the library runs without a sandbox: it may write every file that the proxy's user may write",
        );
    }
    is_set
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
