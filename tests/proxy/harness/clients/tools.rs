//! Independent clients: curl, and botocore in its own Python environment.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::pki::Identity;
use crate::harness::setup::Setup;
use crate::harness::{Proxy, StoreName};

/// The response that curl received.
pub struct Curled {
    /// The HTTP version, as curl writes it.
    pub version: String,
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Curled {
    /// Returns the body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

/// Sends a body with `curl --aws-sigv4` and more options.
#[track_caller]
pub fn curl(proxy: &Proxy, store: &StoreName, path: &str, body: &str, options: &[&str]) -> Curled {
    let authority = proxy.setup.directory.join("server-ca.pem");
    std::fs::write(&authority, proxy.setup.authority.pem()).unwrap();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "120", "--cacert"])
        .arg(&authority)
        .args([
            "--aws-sigv4",
            &format!("aws:amz:{}:kms-xks-proxy", store.region),
        ])
        .args([
            "--user",
            &format!("{}:{}", store.access_key_id, store.secret),
        ])
        .args(["--header", "Content-Type: application/json", "--data", body])
        .args(["--write-out", "\n%{http_version} %{http_code}"])
        .args(options)
        .arg(format!("https://{}{path}", proxy.host()))
        .output()
        .expect("curl is missing: run tests/run, or install the package curl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, outcome) = text.rsplit_once('\n').unwrap_or_default();
    let (version, status) = outcome.split_once(' ').unwrap_or_default();
    assert!(
        output.status.success() && status != "000",
        "curl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Curled {
        version: version.to_owned(),
        status: status.parse().unwrap(),
        body: body.to_owned(),
    }
}

/// Returns curl's options for this client certificate.
pub fn client_certificate(setup: &Setup, identity: &Identity) -> [String; 4] {
    let file = |name, text| setup.write_private(name, text).display().to_string();
    [
        "--cert".into(),
        file("curl-client.pem", &identity.certificate_pem),
        "--key".into(),
        file("curl-client.key", &identity.key_pem),
    ]
}

/// Returns the header fields with which botocore signs a body.
#[track_caller]
pub fn botocore(proxy: &Proxy, store: &StoreName, path: &str, body: &str) -> Vec<(String, String)> {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy/harness/clients/botocore_sign.py");
    let url = format!("https://{}{path}", proxy.host());
    let mut python = Command::new(python())
        .arg(script)
        .args([&url, store.region, store.access_key_id, store.secret])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a Python with botocore: tests/run makes one in .venv");
    python
        .stdin
        .take()
        .unwrap()
        .write_all(body.as_bytes())
        .unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "botocore could not sign: run tests/run, which installs it"
    );
    let fields: Value = serde_json::from_slice(&output.stdout).unwrap();
    let field =
        |(name, value): (&String, &Value)| (name.clone(), value.as_str().unwrap().to_owned());
    fields.as_object().unwrap().iter().map(field).collect()
}

/// Returns the Python with botocore: from the environment, or else from the virtual environment that tests/run makes.
pub fn python() -> PathBuf {
    match std::env::var_os("XKS_TEST_PYTHON") {
        Some(python) => python.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python"),
    }
}
