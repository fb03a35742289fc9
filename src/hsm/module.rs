//! PKCS#11 libraries: each is loaded and initialised once per process, however many tokens of it are used.

use std::collections::HashMap;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cryptoki::error::RvError;
use thiserror::Error as ThisError;

use super::errors::{Error, LoadError};
use super::ffi::Functions;
use crate::sync::poisoned;

/// Why a library cannot be used.
#[derive(Debug, ThisError)]
pub(super) enum ModuleError {
    /// It is not there, not loadable, or not a PKCS#11 module.
    #[error("module {path}: {source}")]
    Load {
        /// Which file.
        path: String,
        /// What is wrong with it.
        source: LoadError,
    },
    /// `C_Initialize` fails.
    #[error("module {path}: {source}")]
    Initialize {
        /// Which file.
        path: String,
        /// What it returned.
        source: Error,
    },
    /// It is in use with other parameters: a library is initialised once per process.
    #[error("module {0} is in use with other parameters; restart the proxy")]
    OtherParameters(String),
}

/// A loaded and initialised library.
pub(super) struct Module {
    pub functions: Arc<Functions>,
    path: String,
    /// What `C_Initialize` is given. It lives as long as the library may point to it.
    parameters: Option<CString>,
    /// Devices of this module that are open now: none of them survives `C_Finalize`.
    open_devices: Mutex<usize>,
}

/// Every library of the process. One per process: PKCS#11's state is the process's.
#[derive(Clone, Default)]
pub struct Modules(Arc<Mutex<HashMap<PathBuf, Arc<Module>>>>);

impl Modules {
    /// The library at `path`, loaded and initialised at its first use. A failure is not remembered.
    ///
    /// # Errors
    /// Also when the library was initialised with other parameters.
    pub(super) fn open(
        &self,
        path: &Path,
        parameters: Option<&CString>,
    ) -> Result<Arc<Module>, ModuleError> {
        // One file under two names is one library for the dynamic linker, so it must be one for us.
        let key = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut modules = self.0.lock().unwrap_or_else(poisoned);
        if let Some(module) = modules.get(&key) {
            return match module.parameters.as_ref() == parameters {
                true => Ok(Arc::clone(module)),
                false => Err(ModuleError::OtherParameters(module.path.clone())),
            };
        }
        let module = Arc::new(Module::load(path, parameters.cloned())?);
        modules.insert(key, Arc::clone(&module));
        Ok(module)
    }

    /// Finalizes every library. Call it when no device thread is left inside one.
    pub fn finalize(&self) {
        let mut modules = self.0.lock().unwrap_or_else(poisoned);
        for (_, module) in modules.drain() {
            if let Err(error) = module.functions.finalize() {
                tracing::warn!(module = module.path, %error, "C_Finalize failed");
            }
        }
    }
}

impl Module {
    fn load(path: &Path, parameters: Option<CString>) -> Result<Self, ModuleError> {
        let text = path.display().to_string();
        let failed = |source| ModuleError::Load {
            path: text.clone(),
            source,
        };
        let functions = Functions::load(path).map_err(failed)?;
        let module = Self {
            functions: Arc::new(functions),
            path: text,
            parameters,
            open_devices: Mutex::new(0),
        };
        module.initialize()?;
        Ok(module)
    }

    /// `C_Initialize`; a library that is initialised already is as good.
    pub(super) fn initialize(&self) -> Result<(), ModuleError> {
        match self.functions.initialize(self.parameters.as_deref()) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
            Err(source) => Err(ModuleError::Initialize {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// Which file it was loaded from.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Counts one more open device; the guard counts it back.
    pub(super) fn device_opened(self: &Arc<Self>) -> OpenDevice {
        *self.open_devices.lock().unwrap_or_else(poisoned) += 1;
        OpenDevice(Arc::clone(self))
    }

    /// The last remedy: `C_Finalize` and `C_Initialize`, unless another device of the module is open.
    /// Says whether it was done.
    pub(super) fn restart(&self) -> Result<bool, ModuleError> {
        let open = self.open_devices.lock().unwrap_or_else(poisoned);
        if *open > 0 {
            return Ok(false);
        }
        // It may be finalized already; what counts is whether it initialises.
        drop(self.functions.finalize());
        self.initialize().map(|()| true)
    }
}

/// One open device of a module.
pub(super) struct OpenDevice(Arc<Module>);

impl Drop for OpenDevice {
    fn drop(&mut self) {
        let mut open = self.0.open_devices.lock().unwrap_or_else(poisoned);
        *open = open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(path: &str) -> String {
        Modules::default()
            .open(Path::new(path), None)
            .map(drop)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn files_that_are_no_modules_are_named() {
        let missing = message("/nonexistent/libnothing.so");
        assert!(
            missing.contains("/nonexistent/libnothing.so") && missing.contains("cannot be loaded")
        );
        assert!(message("/etc/passwd").contains("cannot be loaded"));
        assert!(message("libm.so.6").contains("not a PKCS#11 module"));
    }
}
