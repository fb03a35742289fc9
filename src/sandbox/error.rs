//! Why a sandbox was not applied.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A mistake of the caller or of the configuration. A protection that the kernel lacks is in [`super::Protections::missing`] instead.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// A path in `writable` cannot be opened, for example because it does not exist.
    #[error("writable: {}: {error}", path.display())]
    Writable {
        /// The path as the configuration names it.
        path: PathBuf,
        /// The operating system's reason.
        error: io::Error,
    },
    /// The process has more than one thread, and Landlock would restrict the calling thread only.
    #[error("the process has {0} threads; a sandbox must be applied while there is only one")]
    Threads(usize),
}
