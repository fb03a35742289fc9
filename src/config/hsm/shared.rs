//! Two `[[hsm]]` that are one token: they fail together, so that failover between them has no effect.

use std::fs;
use std::path::PathBuf;

use crate::config::section::Section;
use crate::hsm::HsmSettings;
use crate::read_file;

/// Warns about each HSM that has the token of one before it. An HSM with an error is left out.
pub(super) fn warn(sections: &[Section<'_>], all: &[Option<HsmSettings>]) {
    let mut seen: Vec<(PathBuf, &HsmSettings)> = Vec::new();
    for (section, hsm) in sections.iter().zip(all) {
        let Some(hsm) = hsm else { continue };
        let library = library(hsm);
        let mut others = seen.iter();
        if let Some((_, other)) = others.find(|(of, other)| *of == library && is_one(other, hsm)) {
            let other = &*other.name;
            let what = format!("is the token of {other:?} as well");
            section.warn(
                "token",
                format!("{what}: failover between the two has no effect; name another token"),
            );
        }
        seen.push((library, hsm));
    }
}

/// Whether two HSMs of one library are one token. Parameters may decide which tokens a library has.
fn is_one(one: &HsmSettings, other: &HsmSettings) -> bool {
    one.token == other.token && one.parameters == other.parameters
}

/// The file of the library without symbolic links: one file under two names is one library.
fn library(hsm: &HsmSettings) -> PathBuf {
    let canonical = read_file::patiently(&hsm.module, |path| fs::canonicalize(path));
    canonical.unwrap_or_else(|_| hsm.module.clone())
}
