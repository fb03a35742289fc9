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
    /// The file does not exist, cannot be loaded, or is not a PKCS#11 module.
    #[error("module {path}: {source}")]
    Load {
        /// The file.
        path: String,
        /// The cause.
        source: LoadError,
    },
    /// `C_Initialize` failed.
    #[error("module {path}: {source}")]
    Initialize {
        /// The file.
        path: String,
        /// The error of the call.
        source: Error,
    },
}

/// A loaded and initialized library. PKCS#11 state is global to the process, so a worker loads only one library.
pub(in crate::pkcs11) struct Module {
    pub functions: Arc<Functions>,
    path: String,
    /// The parameter of `C_Initialize`. It lives as long as the library may point to it.
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

    /// `C_Initialize`. A library that is already initialized is also a success.
    fn initialize(&self) -> Result<(), ModuleError> {
        match self.functions.initialize(self.parameters.as_deref()) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
            Err(source) => Err(ModuleError::Initialize {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// The file that it was loaded from.
    pub(in crate::pkcs11) fn path(&self) -> &str {
        &self.path
    }

    /// `C_Finalize`. To be called when no session is open.
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
    fn an_error_contains_the_path_of_a_file_that_is_not_a_module() {
        let missing = message("/nonexistent/libnothing.so");
        assert!(
            missing.contains("/nonexistent/libnothing.so") && missing.contains("cannot be loaded")
        );
        assert!(message("/etc/passwd").contains("cannot be loaded"));
        assert!(message("libm.so.6").contains("not a PKCS#11 module"));
    }
}
