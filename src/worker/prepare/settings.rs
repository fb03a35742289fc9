//! The settings of a worker: encoded for the launcher, and the environment that they require.

use std::ffi::OsString;
use std::path::Path;

use crate::config;
use crate::hsm_protocol::Pkcs11Settings;
use crate::hsm_protocol::launch::SettingsBytes;

/// Returns the encoded settings of this HSM from the configuration, without the PIN.
///
/// # Errors
/// The errors of the configuration, as text for the log.
pub(in crate::worker) fn settings_of(config: &Path, hsm: &str) -> Result<SettingsBytes, String> {
    let settings = config::settings_of(config, hsm).map_err(|errors| errors.to_string())?;
    SettingsBytes::new(settings.encode()?)
        .ok_or_else(|| "the settings of the HSM are too long".to_owned())
}

/// Returns the environment of the library: `PATH`, the variables of the settings, and the variable with the PIN, if there is one.
///
/// # Errors
/// When the bytes are not settings.
pub(in crate::worker) fn environment_of(
    settings: &SettingsBytes,
) -> Result<Vec<(OsString, OsString)>, String> {
    let settings = Pkcs11Settings::decode(settings.as_bytes())?;
    let variable = settings.pin.variable();
    let is_kept =
        |name: &OsString| name == "PATH" || Some(name.as_os_str()) == variable.map(AsRef::as_ref);
    let kept = std::env::vars_os().filter(|(name, _)| is_kept(name));
    let own = settings.environment.0.iter();
    let own = own.map(|(name, value)| (name.into(), value.into()));
    Ok(kept.chain(own).collect())
}
