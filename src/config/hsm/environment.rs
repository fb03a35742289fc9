//! `environment` of `[[hsm]]`: environment variables of the library's process.

use std::collections::BTreeMap;

use crate::config::section::Section;
use crate::hsm::{Environment, PinReference};

/// Variables with which the dynamic linker loads further code into the process that has the PIN.
const PRELOADING: [&str; 2] = ["LD_PRELOAD", "LD_AUDIT"];

/// Every variable; none when one has a fault.
pub(super) fn settings(parent: &Section<'_>, pin: Option<&PinReference>) -> Option<Environment> {
    let mut variables = BTreeMap::new();
    let Some(section) = parent.section("environment") else {
        let is_absent = !parent.has("environment");
        return is_absent.then(Environment::default);
    };
    let mut are_legal = true;
    for name in section.names() {
        match value(&section, &name, pin.and_then(PinReference::variable)) {
            Some(value) => drop(variables.insert(name, value)),
            None => are_legal = false,
        }
    }
    are_legal.then_some(Environment(variables))
}

fn value(section: &Section<'_>, name: &str, of_pin: Option<&str>) -> Option<String> {
    let value = section.string(name)?;
    let problem = problem(name, value, of_pin);
    if let Some(problem) = problem {
        section.fault(name, problem);
        return None;
    }
    if PRELOADING.contains(&name) {
        let what = "loads further libraries into the process that has the PIN";
        section.warn(name, what);
    }
    Some(value.to_owned())
}

fn problem(name: &str, value: &str, of_pin: Option<&str>) -> Option<&'static str> {
    if !is_legal(name) {
        return Some(
            "is not a name of an environment variable: letters, digits and '_', not a digit first",
        );
    }
    if of_pin == Some(name) {
        return Some("is the variable that `pin` names; set it for the proxy, not here");
    }
    value
        .contains('\0')
        .then_some("must not contain a NUL character")
}

/// POSIX, "Environment Variable Definition", and lower-case letters.
fn is_legal(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins_well = !name.starts_with(|first: char| first.is_ascii_digit());
    !name.is_empty() && begins_well && name.bytes().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::is_legal;

    #[test]
    fn names_of_variables_are_those_of_posix() {
        for name in ["SOFTHSM2_CONF", "_", "ChrystokiConfigurationPath", "A1"] {
            assert!(is_legal(name), "{name}");
        }
        for name in ["", "1A", "A B", "A=B", "Ä", "A\0", "A-B"] {
            assert!(!is_legal(name), "{name}");
        }
    }
}
