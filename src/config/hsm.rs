//! `[[hsm]]`.

mod environment;
mod pin;
mod shared;
pub(super) mod worker;
mod writable;

use std::ffi::CString;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::files::{self, exposure};
use crate::hsm::{GcmProfile, HsmSettings, TokenSelector};
use crate::toml_file::unique::Unique;
use crate::toml_file::{Section, values};

pub(super) use writable::check as check_writable;

/// `label` of `CK_TOKEN_INFO` (PKCS#11), in bytes.
const MAX_LABEL: usize = 32;

/// `serialNumber` of `CK_TOKEN_INFO` (PKCS#11), in bytes.
const MAX_SERIAL: usize = 16;

/// The default of `hang_timeout`: far above the request timeout of KMS.
const HANG_TIMEOUT: Duration = Duration::from_secs(2);
const HANG_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);

/// The default of `open_timeout`: opening a token with thousands of keys takes seconds.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
const OPEN_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// Reads all HSMs; `None` if one has an error.
pub(super) fn all(root: &Section<'_>, health_interval: Duration) -> Option<Vec<HsmSettings>> {
    let sections = root.sections("hsm");
    if sections.is_empty() {
        return root.missing("hsm", "[{ name = \"hsm-a\", module = \"…\", … }]");
    }
    let mut names = Unique::default();
    let settings: Vec<_> = sections
        .iter()
        .map(|section| {
            let settings = hsm(section, health_interval);
            if let Some(settings) = &settings {
                names.check(section, "name", &settings.name);
            }
            settings
        })
        .collect();
    shared::warn(&sections, &settings);
    settings.into_iter().collect()
}

/// Reads one `[[hsm]]`; `None` if it has an error.
fn hsm(section: &Section<'_>, health_interval: Duration) -> Option<HsmSettings> {
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
    let health_key = section.non_blank_string("health_key");
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
        .map_err(|problem| section.error("", problem))
        .ok()
        .map(|_| settings)
}

fn danger_no_sandbox(section: &Section<'_>) -> bool {
    let key = "danger_no_sandbox";
    let is_set = section.boolean(key).unwrap_or(false);
    if is_set {
        section.warn(
            key,
            "the library runs without a sandbox: it can write every file that the user of the proxy can write",
        );
    }
    is_set
}

/// The string for `C_Initialize`. In C, it ends at its first NUL byte.
fn parameters(section: &Section<'_>) -> Option<CString> {
    let text = section.non_blank_string("parameters")?;
    let parameters = CString::new(text);
    if parameters.is_err() {
        section.error("parameters", "must not contain a NUL character");
    }
    parameters.ok()
}

/// Reads the name for logs, metrics and the health answer.
pub(super) fn name<'a>(section: &Section<'a>) -> Option<&'a str> {
    let name = section.required_string("name", "\"a-name\"")?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match name.len() <= 64 && name.bytes().all(legal) {
        true => Some(name),
        false => {
            section.error(
                "name",
                "may have at most 64 letters, digits, '-', '_' and '.'",
            );
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
            parent.error("token", "must have either a label or a serial");
            None
        }
    };
    section.finish();
    selected
}

/// Reports a blank text as an error, and warns about a text that no token can have. Tokens fill the rest of the field with blanks.
fn check_token_text(section: &Section<'_>, key: &str, text: &str, max: usize) {
    let length = text.len();
    if let Some(problem) = values::blank(text) {
        section.error(key, problem);
    } else if length > max {
        let problem = format!("has {length} bytes, but the {key} of a token has at most {max}");
        section.warn(key, format!("{problem}: no token matches it"));
    } else if text.ends_with(' ') {
        let problem = format!("ends with a blank, but blanks at the end are not part of the {key}");
        section.warn(key, format!("{problem}: no token matches it"));
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
