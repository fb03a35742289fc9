//! Detects several `[[hsm]]` of one token. They fail together, so failover between them has no effect.

use std::fs;
use std::path::PathBuf;

use crate::hsm::HsmSettings;
use crate::read_file;
use crate::toml_file::Section;

/// Warns about each HSM that has the token of an earlier one. HSMs with an error are ignored.
pub(super) fn warn(sections: &[Section<'_>], all: &[Option<HsmSettings>]) {
    let mut seen: Vec<(PathBuf, &HsmSettings)> = Vec::new();
    for (section, hsm) in sections.iter().zip(all) {
        let Some(hsm) = hsm else { continue };
        let library = library(hsm);
        let mut others = seen.iter();
        if let Some((_, other)) =
            others.find(|(path, other)| *path == library && is_same_token(other, hsm))
        {
            let other = &*other.name;
            let problem = format!("is also the token of {other:?}");
            section.warn(
                "token",
                format!("{problem}: failover between the two has no effect; name another token"),
            );
        }
        seen.push((library, hsm));
    }
}

/// Returns whether two HSMs with the same library have the same token. The parameters may determine the tokens of a library.
fn is_same_token(one: &HsmSettings, other: &HsmSettings) -> bool {
    one.token == other.token && one.parameters == other.parameters
}

/// Returns the path of the library without symbolic links: one file may have several names.
fn library(hsm: &HsmSettings) -> PathBuf {
    let canonical = read_file::with_timeout(&hsm.module, |path| fs::canonicalize(path));
    canonical.unwrap_or_else(|_| hsm.module.clone())
}
