//! The base of every test: a running proxy with its own token, PKI and configuration, and clients for it.

pub mod clients;
#[path = "../faulty_pkcs11/control.rs"]
pub mod control;
pub mod devices;
pub mod observations;
pub mod pki;
pub mod processes;
pub mod setup;

pub use clients::{balancer, frames, h2, http, load, response, served, sign, tools, wire};
pub use devices::{dialect, outage, product, token};
pub use observations::{metrics, trail, wall_clock};
pub use processes::{command, daemon, process, target, terminal};
#[cfg(feature = "simulator")]
pub use processes::{simulator, system};

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::Signal;
use rustls::{ALL_VERSIONS, ClientConfig};
use serde_json::Value;
use tempfile::TempDir;

use control::Control;
use daemon::Daemon;
use dialect::Spoken;
use http::{Connection, Request};
use response::Response;
use setup::Setup;
use sign::Signer;

/// The longest wait of a test for one condition: many times the time that a debug build needs on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A key store of the test configuration, with one credential.
pub struct StoreName {
    /// Its name in configuration, log and metrics.
    pub name: &'static str,
    /// Its path prefix.
    pub prefix: &'static str,
    /// Its region.
    pub region: &'static str,
    /// The access key id.
    pub access_key_id: &'static str,
    /// The secret access key.
    pub secret: &'static str,
}

/// The store that most tests use.
pub const PAYMENTS: StoreName = StoreName {
    name: "payments",
    prefix: "/payments",
    region: "eu-west-1",
    access_key_id: "XKSPAYMENTSKEYAAAAAA",
    secret: "x1bDMvF0c6tCqPzNnT8k/2Rr+Yw5LhJgUaEoSiQeVd4=",
};

/// The second credential of `PAYMENTS`: rotation needs two.
pub const PAYMENTS_NEXT: StoreName = StoreName {
    access_key_id: "XKSPAYMENTSKEYBBBBBB234567",
    secret: "Zq3WcE5rT7yU9iO1pA2sD4fG6hJ8kL0zX+cV/bN=mQwErTyUiOpAsDfGhJkLz123",
    ..PAYMENTS
};

/// A store with a prefix of several segments, in another region.
pub const RETAIL: StoreName = StoreName {
    name: "retail",
    prefix: "/tenants/eu_1/retail-2",
    region: "us-east-1",
    access_key_id: "XKSRETAILKEYAAAAAAAA",
    secret: "Hk2mVt9Lq4Xz7Nb1Wd6Rf3Yc8Jp5Gs0TuEaIoKeDlMn=",
};

/// A store without a prefix.
pub const ROOT: StoreName = StoreName {
    name: "root",
    prefix: "",
    region: "eu-west-1",
    access_key_id: "XKSROOTKEYAAAAAAAAAA",
    secret: "Bv7cXz5aSd3fGh1jKl9pOi8uYt6rEw4qNm2VbCxZaSd=",
};

/// A store that is disabled.
pub const CLOSED: StoreName = StoreName {
    name: "closed",
    prefix: "/closed",
    region: "eu-west-1",
    access_key_id: "XKSCLOSEDKEYAAAAAAAA",
    secret: "Mn6bVc4xZl2kJh0gFd8sAp9oIu7yTr5eWq3LkJhGfDs=",
};

/// A proxy under test.
pub struct Proxy {
    /// The process.
    pub daemon: Daemon,
    /// The HTTPS listener.
    pub server: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// The setup that it was started with.
    pub setup: Setup,
    /// A TLS client that trusts the server and has no certificate.
    pub client: Arc<ClientConfig>,
    _directory: TempDir,
}

impl Proxy {
    /// Starts a proxy, and waits until it is ready.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts a proxy with a changed configuration, and waits until it is ready.
    #[track_caller]
    pub fn start_with(change: impl FnOnce(&mut Setup)) -> Self {
        let proxy = Self::launch(change);
        proxy.await_ready();
        proxy.await_dialect();
        proxy
    }

    /// Starts a proxy, and waits until it listens. Its HSM may be unusable.
    #[track_caller]
    pub fn launch(change: impl FnOnce(&mut Setup)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut setup = Setup::new(directory.path());
        change(&mut setup);
        let written = setup.write();
        let file = setup.launch_with.as_ref().unwrap_or(&written);
        let daemon = Daemon::start_by(&setup.command, file, &setup.variables);
        let (server, admin) = (daemon.address("server"), daemon.address("admin"));
        let client = pki::tls_client(setup.authority.der(), ALL_VERSIONS, None, &["http/1.1"]);
        Self {
            daemon,
            server,
            admin,
            setup,
            client,
            _directory: directory,
        }
    }

    /// Kills the proxy with SIGKILL, and starts another one.
    #[track_caller]
    pub fn kill_and_start_again(&mut self) {
        self.daemon.signal(Signal::KILL);
        self.daemon.wait();
        self.start_again();
    }

    /// Starts another proxy after one that has ended.
    #[track_caller]
    pub fn start_again(&mut self) {
        let file = self.setup.write();
        self.daemon = Daemon::start(&file, &self.setup.variables);
        self.server = self.daemon.address("server");
        self.admin = self.daemon.address("admin");
        self.await_ready();
    }

    /// Waits until an HSM is usable.
    #[track_caller]
    pub fn await_ready(&self) {
        self.daemon
            .wait_for("ready", |line| line["message"] == "ready");
    }

    /// Waits until the device under test has been loaded, and checks that it uses the dialect. Otherwise the test would have no meaning.
    #[track_caller]
    fn await_dialect(&self) {
        let Some(dialect) = Spoken::under_test().device else {
            return;
        };
        let device = Control::open(&self.setup.control_file("a")).unwrap();
        metrics::eventually("a device that speaks the dialect", || {
            let spoken = device.block().dialect.load(Ordering::SeqCst);
            (device.attached() > 0 && spoken == dialect as u64).then_some(())
        });
    }

    /// Returns the value of the Host field.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.server.port())
    }

    /// Opens a new HTTP/1.1 connection.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        self.try_connect().expect("a TLS connection")
    }

    /// Opens a new HTTP/1.1 connection, if the proxy accepts it.
    pub fn try_connect(&self) -> io::Result<Connection> {
        Connection::open(self.server, Arc::clone(&self.client))
    }

    /// Sends a request without a change, on a new connection.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        self.connect().exchange(request)
    }

    /// Returns a client of this store with its credential.
    pub fn caller<'a>(&'a self, store: &'a StoreName) -> Caller<'a> {
        let signer = Signer::new(store.access_key_id, store.secret, store.region);
        Caller {
            proxy: self,
            prefix: store.prefix,
            signer,
        }
    }

    /// Returns the access log line of the request with this body.
    #[track_caller]
    pub fn access_line(&self, body: &Value) -> Value {
        let id = &body["requestMetadata"]["kmsRequestId"];
        self.daemon.wait_for(&format!("request {id}"), |line| {
            line["message"] == "request" && line["kms_request_id"] == *id
        })
    }
}

/// A client that signs as the KMS of one key store.
pub struct Caller<'a> {
    /// The proxy.
    pub proxy: &'a Proxy,
    /// The path prefix.
    pub prefix: &'a str,
    /// The signer.
    pub signer: Signer,
}

impl Caller<'_> {
    /// Returns the path of an operation on a key.
    pub fn path(&self, operation: &str, key: &str) -> String {
        match operation {
            "health" => format!("{}/kms/xks/v1/health", self.prefix),
            _ => format!("{}/kms/xks/v1/keys/{key}/{operation}", self.prefix),
        }
    }

    /// Returns a request for an operation without a signature.
    pub fn unsigned(&self, operation: &str, key: &str, body: impl Into<Vec<u8>>) -> Request {
        Request::post(&self.path(operation, key), &self.proxy.host(), body)
    }

    /// Returns a request for an operation, signed now.
    pub fn request(&self, operation: &str, key: &str, body: impl Into<Vec<u8>>) -> Request {
        self.signer.sign(&self.unsigned(operation, key, body))
    }

    /// Sends any bytes as the body of an operation.
    #[track_caller]
    pub fn send(&self, operation: &str, key: &str, body: impl Into<Vec<u8>>) -> Response {
        self.proxy.send(&self.request(operation, key, body))
    }

    /// Calls an operation.
    #[track_caller]
    pub fn call(&self, operation: &str, key: &str, body: &Value) -> Response {
        self.send(operation, key, body.to_string())
    }

    /// Encrypts, and expects success.
    #[track_caller]
    pub fn encrypt(&self, key: &str, plaintext: &[u8]) -> Value {
        self.call("encrypt", key, &wire::encrypt_body(plaintext))
            .ok()
    }

    /// Calls GetHealthStatus, and expects success.
    #[track_caller]
    pub fn health(&self) -> Value {
        self.call("health", "", &wire::plain_body("health")).ok()
    }
}
