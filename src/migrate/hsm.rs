//! `[pkcs11]`, `[pkcs11_logger]` and `[hsm_capabilities]` of the settings.

use super::leftovers;
use super::notes::Notes;
use super::server::absolute;
use crate::secret::Secret;
use crate::toml_file::Section;

/// The values for the only `[[hsm]]`: the sample has one HSM.
pub(super) struct Hsm {
    pub(super) module: String,
    /// `None` if it is empty in the settings.
    pub(super) pin: Option<Secret>,
    pub(super) sessions: u64,
    pub(super) gcm_profile: &'static str,
}

/// The permitted values of `sessions` in `[[hsm]]`.
const SESSIONS: std::ops::RangeInclusive<u64> = 1..=1_024;

const MODULE: &str = "PKCS11_HSM_MODULE";

/// A part of the file name of the logger, on every platform.
const LOGGER: &str = "pkcs11-logger";

pub(super) fn read(root: &Section<'_>, has_label: bool, notes: &mut Notes) -> Option<Hsm> {
    let pkcs11 = pkcs11(root, has_label, notes);
    let gcm_profile = gcm_profile(root, notes);
    let (module, pin, sessions) = pkcs11?;
    Some(Hsm {
        module,
        pin,
        sessions,
        gcm_profile: gcm_profile?,
    })
}

fn pkcs11(
    root: &Section<'_>,
    has_label: bool,
    notes: &mut Notes,
) -> Option<(String, Option<Secret>, u64)> {
    let section = root.required_section("pkcs11")?;
    let module = module(root, &section, notes);
    let pin = pin(&section, notes);
    let sessions = sessions(&section, notes);
    if !has_label {
        let message = "the sample used the token in the first slot; name that token in hsm.token: { label = \"…\" } or { serial = \"…\" }";
        notes.to_do(&section, "", message);
    }
    let health_key = "hsm.health_key is new: create an AES-256 key labelled \"xks-health\" in the token, with `xks-proxy key create` or the vendor's tool";
    notes.to_do(&section, "", health_key);
    notes.drop_rest(&section, leftovers::PKCS11);
    Some((module?, pin?, sessions?))
}

/// Returns the PKCS#11 library; with a logger, the library that the logger calls.
fn module(root: &Section<'_>, pkcs11: &Section<'_>, notes: &mut Notes) -> Option<String> {
    let named = pkcs11.required_string(MODULE, "\"/usr/lib/softhsm/libsofthsm2.so\"");
    let wrapped = wrapped_module(root, notes);
    let named = named?;
    let file = named.rsplit('/').next().unwrap_or(named);
    let (module, to) = match (file.contains(LOGGER), wrapped) {
        (true, Some(wrapped)) => (wrapped, "hsm.module: the library that the logger calls"),
        (true, None) => {
            let message =
                "is a logger for an unknown library: name the library of the HSM in hsm.module";
            notes.to_do(pkcs11, MODULE, message);
            (
                named.to_owned(),
                "hsm.module, which you must change (see below)",
            )
        }
        (false, _) => (named.to_owned(), "hsm.module"),
    };
    notes.carried(pkcs11, MODULE, to);
    let message = "the environment variables PKCS11_HSM_MODULE and PKCS11_LOGGER_LIBRARY_PATH override the settings: if the sample's unit sets them, set hsm.module to their value";
    notes.to_do(pkcs11, MODULE, message);
    Some(absolute(pkcs11, &module))
}

/// Returns the library that the logger calls, if the settings name it.
fn wrapped_module(root: &Section<'_>, notes: &mut Notes) -> Option<String> {
    let section = root.section("pkcs11_logger")?;
    let wrapped = section.string("PKCS11_LOGGER_LIBRARY_PATH");
    let wrapped = wrapped.filter(|path| !path.is_empty());
    notes.drop_rest(&section, leftovers::PKCS11_LOGGER);
    wrapped.map(str::to_owned)
}

/// `Some(None)` if the PIN is empty.
fn pin(section: &Section<'_>, notes: &mut Notes) -> Option<Option<Secret>> {
    let pin = section.required_string_or_empty("user_pin", "\"…\"")?;
    if pin.is_empty() {
        let message = "is empty: write the PIN into the file hsm.pin, with mode 0600";
        notes.to_do(section, "user_pin", message);
        return Some(None);
    }
    notes.carried(section, "user_pin", "the file hsm.pin");
    Some(Some(Secret::new(pin.to_owned())))
}

fn sessions(section: &Section<'_>, notes: &mut Notes) -> Option<u64> {
    let key = "session_pool_max_size";
    let sessions = section.integer(key, 0..=u64::MAX);
    let sessions = sessions.or_else(|| section.missing(key, "30"))?;
    let carried = sessions.clamp(*SESSIONS.start(), *SESSIONS.end());
    notes.carried(section, key, format!("hsm.sessions = {carried}"));
    Some(carried)
}

/// Returns the profile for the way in which the sample encrypts. A device that generates IVs never gets an IV from its caller.
fn gcm_profile(root: &Section<'_>, notes: &mut Notes) -> Option<&'static str> {
    let section = root.required_section("hsm_capabilities")?;
    let generates_ivs = section.required_boolean("can_generate_iv");
    let needs_zero_iv = section.required_boolean("is_zero_iv_required");
    let profile = match (generates_ivs?, needs_zero_iv?) {
        // Without can_generate_iv, the other key has no effect.
        (false, false | true) => "caller-iv",
        (true, true) => "iv-written-back",
        (true, false) => "iv-appended",
    };
    for key in ["can_generate_iv", "is_zero_iv_required"] {
        notes.carried(&section, key, format!("hsm.gcm_profile = {profile:?}"));
    }
    notes.drop_rest(&section, &[]);
    Some(profile)
}
