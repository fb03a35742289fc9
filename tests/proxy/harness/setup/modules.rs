//! The PKCS#11 modules of a test's proxy, and the settings of their processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cryptoki_sys::CKR_FUNCTION_FAILED;

use super::Setup;
use crate::harness::control::Control;
use crate::harness::dialect::Spoken;
use crate::harness::token::{HEALTH_KEY, OTHER_TOKEN, TOKEN_LABEL, example};

/// A placeholder for `environment` and `writable`: tests may add to them until the configuration is written.
pub(super) const MODULE_SETTINGS: &str = "# environment and writable\n";

impl Setup {
    /// Puts the module of `tests/faulty_pkcs11` between the proxy and the token, and returns its control.
    pub fn faulty_module(&mut self) -> Control {
        assert!(
            Spoken::under_test().suits_the_faulty_module(),
            "no faulty module has the message interface: tests/run leaves this test out"
        );
        let control = self.control_file("a");
        self.set_path("hsm", "module", &example("libfaulty_pkcs11.so"));
        for (name, path) in [
            ("MODULE", self.token.module()),
            ("CONTROL", control.clone()),
        ] {
            let name = format!("FAULTY_PKCS11_{name}");
            self.module_variable(&name, &path.display().to_string());
        }
        self.writable(&control);
        speaking(&control)
    }

    /// Adds an environment variable for the modules.
    pub fn module_variable(&mut self, name: &str, value: &str) {
        let variable = (name.to_owned(), value.to_owned());
        self.variables.push(variable.clone());
        self.module_variables.push(variable);
    }

    /// Adds a file or directory that the modules may write.
    pub fn writable(&mut self, path: &Path) {
        if !self.writable.iter().any(|known| known == path) {
            self.writable.push(path.to_owned());
        }
    }

    /// Removes a file or directory that the modules may write.
    pub fn not_writable(&mut self, path: &Path) {
        self.writable.retain(|known| known != path);
    }

    /// Returns the control file of the first faulty module, or of the second.
    pub fn control_file(&self, device: &str) -> PathBuf {
        self.directory.join(format!("faulty-control-{device}"))
    }

    /// Adds a second `[[hsm]]`, `hsm-b`: copies of both libraries, which are a different device for the process, on the same token.
    pub fn second_faulty_module(&mut self) -> Control {
        let (module, wrapped) = (
            self.directory.join("hsm-b.so"),
            self.directory.join("token-b.so"),
        );
        fs::copy(example("libfaulty_pkcs11.so"), &module).unwrap();
        fs::copy(self.token.module(), &wrapped).unwrap();
        let control = self.control_file("b");
        for (name, path) in [("MODULE", &wrapped), ("CONTROL", &control)] {
            let name = format!("FAULTY_PKCS11_{name}_HSM_B");
            self.module_variable(&name, &path.display().to_string());
        }
        self.writable(&control);
        let pin = self.token.pin_file();
        let profile = Spoken::under_test().configured.unwrap_or("auto");
        self.append(&format!(
            "[[hsm]]\nname = \"hsm-b\"\nmodule = {module:?}\ntoken = {{ label = \"{TOKEN_LABEL}\" }}\n\
             pin = {{ file = {pin:?} }}\nsessions = 4\nhealth_key = {HEALTH_KEY:?}\ngcm_profile = {profile:?}\n{MODULE_SETTINGS}"
        ));
        if let Some(parameters) = self.token.parameters() {
            self.append(&format!("parameters = {parameters:?}\n"));
        }
        speaking(&control)
    }

    /// Adds a second `[[hsm]]`, `hsm-b`: a separate token without keys.
    pub fn second_token(&mut self) {
        self.token.other(OTHER_TOKEN);
        let (module, pin) = (self.token.module(), self.token.pin_file());
        self.append(&format!(
            "[[hsm]]\nname = \"hsm-b\"\nmodule = {module:?}\ntoken = {{ label = {OTHER_TOKEN:?} }}\n\
             pin = {{ file = {pin:?} }}\nsessions = 4\nhealth_key = {HEALTH_KEY:?}\n{MODULE_SETTINGS}"
        ));
    }

    /// Returns `environment` and `writable`, the same for every `[[hsm]]`.
    pub(super) fn module_settings(&self) -> String {
        let variables = self.module_variables.iter();
        let variables: BTreeMap<_, _> = variables.map(|(name, value)| (name, value)).collect();
        let variables: Vec<_> = variables
            .into_iter()
            .map(|(name, value)| format!("{name} = {value:?}"))
            .collect();
        let environment = variables.join(", ");
        let writable = &self.writable;
        format!("environment = {{ {environment} }}\nwritable = {writable:?}\n")
    }
}

/// Opens a control file. Its device has the dialect of this run.
fn speaking(control: &Path) -> Control {
    let (control, spoken) = (Control::open(control).unwrap(), Spoken::under_test());
    if let Some(dialect) = spoken.device {
        control.set_dialect(dialect);
    }
    if spoken.rejects_read_only {
        control.reject_read_only(CKR_FUNCTION_FAILED);
    }
    control
}
