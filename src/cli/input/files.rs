//! Files that the command line names, including pipes. A file that cannot be read is wrong usage.

use std::path::Path;

use zeroize::Zeroizing;

use crate::cli::output::exit::CommandError;
use crate::read_file;

/// Reads a file, which may contain a secret.
pub(in crate::cli) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let content = read_file::any(path).map(|contents| contents.bytes);
    content.map_err(|error| CommandError::usage(format!("cannot read {}: {error}", path.display())))
}

/// Reads a UTF-8 text file.
pub(in crate::cli) fn read_text(path: &Path) -> Result<Zeroizing<String>, CommandError> {
    let content = read(path)?;
    let text = std::str::from_utf8(&content);
    let text = text.map_err(|_| CommandError::usage(format!("{} is not text", path.display())))?;
    Ok(Zeroizing::new(text.to_owned()))
}
