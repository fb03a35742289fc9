//! `environment` of `[[hsm]]`: environment variables for the process of the library.

use std::collections::BTreeMap;

use crate::hsm::{Environment, PinReference};
use crate::toml_file::Section;

/// Variables that make the dynamic linker load further code into the process that has the PIN.
const PRELOADING: [&str; 2] = ["LD_PRELOAD", "LD_AUDIT"];

/// Reads all variables; `None` if one has an error.
pub(super) fn settings(parent: &Section<'_>, pin: Option<&PinReference>) -> Option<Environment> {
    let mut variables = BTreeMap::new();
    let Some(section) = parent.section("environment") else {
        let is_absent = !parent.has("environment");
        return is_absent.then(Environment::default);
    };
    let mut are_valid = true;
    for name in section.names() {
        match value(&section, &name, pin.and_then(PinReference::variable)) {
            Some(value) => drop(variables.insert(name, value)),
            None => are_valid = false,
        }
    }
    are_valid.then_some(Environment(variables))
}

fn value(section: &Section<'_>, name: &str, pin_variable: Option<&str>) -> Option<String> {
    let value = section.string(name)?;
    let problem = problem(name, value, pin_variable);
    if let Some(problem) = problem {
        section.error(name, problem);
        return None;
    }
    if PRELOADING.contains(&name) {
        let message = "loads further libraries into the process that has the PIN";
        section.warn(name, message);
    }
    Some(value.to_owned())
}

fn problem(name: &str, value: &str, pin_variable: Option<&str>) -> Option<&'static str> {
    if !is_valid_name(name) {
        return Some(
            "is not the name of an environment variable: it may have letters, digits and '_', and must not begin with a digit",
        );
    }
    if pin_variable == Some(name) {
        return Some("is the variable that `pin` names; set it for the proxy, not here");
    }
    value
        .contains('\0')
        .then_some("must not contain a NUL character")
}

/// As in POSIX, "Environment Variable Definition", but also with lower-case letters.
fn is_valid_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins_well = !name.starts_with(|first: char| first.is_ascii_digit());
    !name.is_empty() && begins_well && name.bytes().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::is_valid_name;

    #[test]
    fn names_of_variables_follow_posix() {
        for name in ["SOFTHSM2_CONF", "_", "ChrystokiConfigurationPath", "A1"] {
            assert!(is_valid_name(name), "{name}");
        }
        for name in ["", "1A", "A B", "A=B", "Ä", "A\0", "A-B"] {
            assert!(!is_valid_name(name), "{name}");
        }
    }
}
