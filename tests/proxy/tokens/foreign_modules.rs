//! PKCS#11 modules of the distribution that cannot serve an external key store. The proxy logs the reason. `tests/matrix` installs their
//! packages.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::metrics::eventually;
use crate::harness::setup::Setup;
use crate::harness::token::Remote;
use crate::harness::{PAYMENTS, Proxy};

/// Finds the module of a package in the directories of distributions.
fn module(package: &str, names: &[&str]) -> PathBuf {
    let directories = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
    ];
    let places = directories.iter().flat_map(|directory| {
        let path = |name| Path::new(directory).join(name);
        names.iter().map(path)
    });
    let found = places.into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("install the package {package}, or run tests/matrix"))
}

/// Returns the error of a proxy that cannot serve with this module.
fn why_not(change: impl FnOnce(&mut Setup)) -> String {
    let proxy = Proxy::launch(change);
    let line = proxy.daemon.wait_for("why not", |line| {
        line["message"] == "the HSM cannot be opened"
    });
    line["error"].as_str().unwrap().to_owned()
}

/// A program that is killed at the end of the test.
struct Server(Child);

impl Server {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has already ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Finds two consecutive free ports, and returns the first one.
fn two_ports() -> u16 {
    eventually("two free ports", || {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
        Some(port)
    })
}

#[test]
fn opensc_without_a_card_has_no_token() {
    let names = ["opensc-pkcs11.so", "pkcs11/opensc-pkcs11.so"];
    let error = why_not(|setup| {
        setup.set_path("hsm", "module", &module("opensc-pkcs11", &names));
    });
    let text =
        "no token with label \"xks\" is present; tokens there: none; slots without a token: ";
    assert!(error.starts_with(text), "{error}");
}

#[test]
fn tpm2_pkcs11_has_no_aes_gcm() {
    let names = ["libtpm2_pkcs11.so.1", "pkcs11/libtpm2_pkcs11.so"];
    let module = module("libtpm2-pkcs11-1", &names);
    let directory = tempfile::tempdir().unwrap();
    let tpm = Tpm::start(directory.path());
    let error = why_not(|setup| {
        setup.set_path("hsm", "module", &module);
        // The token is found although it is not initialized.
        setup.set("hsm", "token", "{ serial = \"0000000000000000\" }");
        for (name, value) in &tpm.variables {
            setup.module_variable(name, value);
        }
        setup.writable(directory.path());
    });
    let rest = error.strip_prefix("the token (IBM, SW   TPM ");
    let rest = rest.unwrap_or_else(|| panic!("{error}"));
    assert!(
        rest.ends_with(") has no CKM_AES_GCM: it cannot serve an external key store"),
        "{error}"
    );
    // The model of this token is padded with NULs.
    assert!(!error.contains('\0'), "{error:?}");
}

/// A software TPM.
struct Tpm {
    variables: [(String, String); 2],
    _server: Server,
}

impl Tpm {
    fn start(directory: &Path) -> Self {
        let port = two_ports();
        let [server, control] =
            [port, port + 1].map(|port| format!("type=tcp,port={port},bindaddr=127.0.0.1"));
        let directory = directory.display().to_string();
        let mut tpm = Command::new("swtpm");
        tpm.args(["socket", "--tpm2", "--tpmstate"])
            .arg(format!("dir={directory}"))
            .args(["--server", &server, "--ctrl", &control])
            .args(["--flags", "not-need-init,startup-clear"]);
        let running = Server::start(&mut tpm);
        let address = ("127.0.0.1", port + 1);
        eventually("the TPM's control port", || {
            TcpStream::connect(address).ok().map(drop)
        });
        let connection = format!("swtpm:host=127.0.0.1,port={port}");
        Self {
            variables: [
                ("TPM2_PKCS11_STORE".to_owned(), directory),
                ("TPM2_PKCS11_TCTI".to_owned(), connection),
            ],
            _server: running,
        }
    }
}

/// p11-kit supports AES-GCM since version 0.25. With older versions, the token lacks only AES-GCM.
#[test]
fn p11_kit_remoting_serves_or_has_no_aes_gcm() {
    let client = module("p11-kit-modules", &["pkcs11/p11-kit-client.so"]);
    let mut running = None;
    let proxy = Proxy::launch(|setup| {
        let server = Remote::start(&setup.token);
        let (name, value) = server.variable();
        setup.module_variable(&name, &value);
        running = Some(server);
        setup.set_path("hsm", "module", &client);
    });
    let line = proxy.daemon.wait_for("how it went", |line| {
        line["message"] == "the HSM is usable" || line["message"] == "the HSM cannot be opened"
    });
    if line["message"] == "the HSM is usable" {
        proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    } else {
        let error = line["error"].as_str().unwrap();
        assert!(error.contains("has no CKM_AES_GCM"), "{error}");
    }
}
