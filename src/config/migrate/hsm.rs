//! `[pkcs11]`, `[pkcs11_logger]` and `[hsm_capabilities]` of the settings.

use super::leftovers;
use super::notes::Notes;
use super::server::absolute;
use crate::config::section::Section;
use crate::secret::Secret;

/// What becomes the only `[[hsm]]`: the sample has one.
pub(super) struct Hsm {
    pub(super) module: String,
    /// None when the settings have an empty one.
    pub(super) pin: Option<Secret>,
    pub(super) sessions: u64,
    pub(super) gcm_profile: &'static str,
}

/// As many as `[[hsm]]` takes.
const SESSIONS: std::ops::RangeInclusive<u64> = 1..=1_024;

const MODULE: &str = "PKCS11_HSM_MODULE";

/// What the file of the logger is called, on every platform.
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
        let message = "the sample took the first slot; say which token that is in hsm.token: { label = \"…\" } or { serial = \"…\" }";
        notes.open(&section, "", message);
    }
    let health_key = "hsm.health_key is new: make an AES-256 key labelled \"xks-health\" in the token, with `xks-proxy key create` or the maker's tool";
    notes.open(&section, "", health_key);
    notes.rest(&section, leftovers::PKCS11);
    Some((module?, pin?, sessions?))
}

/// The module; behind the logger, the one that it wraps.
fn module(root: &Section<'_>, pkcs11: &Section<'_>, notes: &mut Notes) -> Option<String> {
    let named = pkcs11.required_string(MODULE, "\"/usr/lib/softhsm/libsofthsm2.so\"");
    let wrapped = wrapped_module(root, notes);
    let named = named?;
    let file = named.rsplit('/').next().unwrap_or(named);
    let (module, to) = match (file.contains(LOGGER), wrapped) {
        (true, Some(wrapped)) => (wrapped, "hsm.module: the library behind the logger"),
        (true, None) => {
            let message = "is a logger around an unknown library: name the HSM's own in hsm.module";
            notes.open(pkcs11, MODULE, message);
            (named.to_owned(), "hsm.module, but see what is to do")
        }
        (false, _) => (named.to_owned(), "hsm.module"),
    };
    notes.carried(pkcs11, MODULE, to);
    let overridden = "the environment variables PKCS11_HSM_MODULE and PKCS11_LOGGER_LIBRARY_PATH counted more: if the sample's unit sets them, hsm.module must name what they name";
    notes.open(pkcs11, MODULE, overridden);
    Some(absolute(pkcs11, &module))
}

/// What the logger wraps, if the settings say so.
fn wrapped_module(root: &Section<'_>, notes: &mut Notes) -> Option<String> {
    let section = root.section("pkcs11_logger")?;
    let wrapped = section.string("PKCS11_LOGGER_LIBRARY_PATH");
    let wrapped = wrapped.filter(|path| !path.is_empty());
    notes.rest(&section, leftovers::PKCS11_LOGGER);
    wrapped.map(str::to_owned)
}

/// `Some(None)` when it is empty.
fn pin(section: &Section<'_>, notes: &mut Notes) -> Option<Option<Secret>> {
    let pin = section.present_string("user_pin", "\"…\"")?;
    if pin.is_empty() {
        let message = "is empty: write the PIN into hsm.pin, with mode 0600";
        notes.open(section, "user_pin", message);
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

/// How the sample encrypts decides where its IVs came from; an IV of the caller's is never given to a device that makes its own.
fn gcm_profile(root: &Section<'_>, notes: &mut Notes) -> Option<&'static str> {
    let section = root.required_section("hsm_capabilities")?;
    let makes_ivs = section.required_boolean("can_generate_iv");
    let wants_zeros = section.required_boolean("is_zero_iv_required");
    let profile = match (makes_ivs?, wants_zeros?) {
        // The other key had no effect then.
        (false, false | true) => "caller-iv",
        (true, true) => "iv-written-back",
        (true, false) => "iv-appended",
    };
    for key in ["can_generate_iv", "is_zero_iv_required"] {
        notes.carried(&section, key, format!("hsm.gcm_profile = {profile:?}"));
    }
    notes.rest(&section, &[]);
    Some(profile)
}
