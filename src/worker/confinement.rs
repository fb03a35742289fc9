//! Applies the sandbox of a worker, and reports denied paths when the library fails.

use std::path::PathBuf;

use crate::hsm_protocol::Pkcs11Settings;
use crate::sandbox::{self, Denied, NamedPath, Protections};

/// The most paths in one reason.
const MAX_PATHS: usize = 3;

/// The sandbox of this process.
pub(super) struct Confinement {
    protections: Protections,
    settings: Pkcs11Settings,
}

impl Confinement {
    /// Restricts the process for its lifetime. Call it while the process has one thread.
    ///
    /// # Errors
    /// Why the library must not be loaded.
    pub(super) fn apply(settings: &Pkcs11Settings) -> Result<Self, String> {
        let protections = match settings.danger_no_sandbox {
            true => sandbox::Launcher.apply(),
            false => sandbox_of(settings)
                .apply()
                .map_err(|error| format!("the sandbox: {error}"))?,
        };
        protections.log("worker");
        Ok(Self {
            protections,
            settings: settings.clone(),
        })
    }

    /// Adds to the reason of a failed opening the paths that the sandbox denies to the library, and the settings that allow them.
    pub(super) fn explain(&self, reason: String) -> String {
        if self.protections.landlock_abi().unwrap_or_default() == 0 {
            return reason;
        }
        let mut denied = self.denied(&named(&self.settings));
        if denied.iter().all(Denied::is_unlikely) {
            // The library may use a path that is compiled into it.
            let others = self.denied(&sandbox::paths_in_library(&self.settings.module));
            denied = others;
        }
        denied.retain(|denied| !denied.is_unlikely());
        let denied: Vec<String> = denied
            .iter()
            .take(MAX_PATHS)
            .map(ToString::to_string)
            .collect();
        match denied.is_empty() {
            true => reason,
            false => format!(
                "{reason}; the sandbox may be the reason: {}",
                denied.join("; ")
            ),
        }
    }

    fn denied(&self, named: &[NamedPath]) -> Vec<Denied> {
        let writable = existing(&self.settings.writable);
        sandbox::denied_paths(named, &writable, self.protections.reads())
    }
}

fn sandbox_of(settings: &Pkcs11Settings) -> sandbox::Worker {
    let named = named(settings).into_iter();
    let named = named.map(|named| named.path).filter(|path| path.exists());
    sandbox::Worker {
        // `check-config` warns about paths that do not exist.
        writable: existing(&settings.writable),
        unreadable: settings.secrets.clone(),
        readable: named.chain([settings.module.clone()]).collect(),
    }
}

/// The paths in the settings for the library.
fn named(settings: &Pkcs11Settings) -> Vec<NamedPath> {
    let variables = settings.environment.0.iter();
    let variables: Vec<(String, &str)> = variables
        .map(|(name, value)| (format!("environment.{name}"), value.as_str()))
        .collect();
    let parameters = settings.parameters.as_deref();
    let parameters = parameters.and_then(|parameters| parameters.to_str().ok());
    let parameters = parameters.map(|parameters| ("parameters", parameters));
    let values = variables
        .iter()
        .map(|(name, value)| (name.as_str(), *value));
    sandbox::named_paths(values.chain(parameters))
}

fn existing(paths: &[PathBuf]) -> Vec<PathBuf> {
    let existing = paths.iter().filter(|path| path.exists());
    existing.cloned().collect()
}
