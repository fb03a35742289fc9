//! A PKCS#11 library, loaded and initialized.

use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use cryptoki::error::RvError;
use thiserror::Error as ThisError;

use super::errors::{Error, LoadError};
use super::ffi::Functions;

/// Why a library cannot be used.
#[derive(Debug, ThisError)]
pub(in crate::pkcs11) enum ModuleError {
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
}

/// A loaded and initialized library. PKCS#11's state is the process's: a worker loads one library.
pub(in crate::pkcs11) struct Module {
    pub functions: Arc<Functions>,
    path: String,
    /// What `C_Initialize` is given. It lives as long as the library may point to it.
    parameters: Option<CString>,
}

impl Module {
    /// Loads and initializes the library at `path`.
    ///
    /// # Errors
    /// [`ModuleError`].
    pub(in crate::pkcs11) fn load(
        path: &Path,
        parameters: Option<CString>,
    ) -> Result<Self, ModuleError> {
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
        };
        module.initialize()?;
        Ok(module)
    }

    /// `C_Initialize`; a library that is initialized already is as good.
    fn initialize(&self) -> Result<(), ModuleError> {
        match self.functions.initialize(self.parameters.as_deref()) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
            Err(source) => Err(ModuleError::Initialize {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// Which file it was loaded from.
    pub(in crate::pkcs11) fn path(&self) -> &str {
        &self.path
    }

    /// `C_Finalize`. Call it when no session is left.
    pub(in crate::pkcs11) fn finalize(&self) {
        if let Err(error) = self.functions.finalize() {
            tracing::warn!(module = self.path, %error, "C_Finalize failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(path: &str) -> String {
        Module::load(Path::new(path), None)
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
