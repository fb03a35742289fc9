//! The KMS simulator as a child process, and callers that use its JSON API.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::http::{Request, plain, tcp};
use super::metrics::{eventually, sample};
use super::response::{Response, read_response};

/// A running simulator.
pub struct Simulator {
    /// The process.
    pub daemon: Daemon,
    /// The address of the listener.
    pub address: SocketAddr,
}

/// The options of a simulator, in addition to `--listen` and `--json`.
#[derive(Clone, Default)]
pub struct Options(Vec<String>);

impl Options {
    /// Returns options that trust proxies with certificates of this CA.
    pub fn trusting(authority: &Path) -> Self {
        Self::default().with("--trusted-ca", authority.display())
    }

    /// Adds an option with a value.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.extend([name.to_owned(), value.to_string()]);
        self
    }

    /// Adds an option without a value.
    pub fn flag(mut self, name: &str) -> Self {
        self.0.push(name.to_owned());
        self
    }

    /// Adds the address of the proxy with this host name.
    pub fn resolving(self, name: &str, address: SocketAddr) -> Self {
        self.with("--resolve", format!("{name}={address}"))
    }
}

impl Simulator {
    /// Starts a simulator and waits until it listens.
    #[track_caller]
    pub fn start(options: &Options) -> Self {
        let mut command = command();
        command
            .args(["--listen", "127.0.0.1:0", "--json"])
            .args(&options.0);
        let daemon = Daemon::of("simulator", command);
        let line = daemon.wait_for("listening", |line| line["event"] == "listening");
        let url = line["url"].as_str().unwrap();
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        Self { daemon, address }
    }

    /// Returns the endpoint URL for callers.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the kind of client certificate for proxies, and returns the status of the response.
    #[track_caller]
    pub fn present(&self, kind: &str) -> u16 {
        let host = self.address.to_string();
        let request = Request::post("/client-certificate", &host, kind).method("PUT");
        let request = request.with("connection", "close");
        exchange(self.address, &request).unwrap().status
    }

    /// Sends SIGKILL and waits for the end of the process.
    #[track_caller]
    pub fn kill(&mut self) {
        self.daemon.signal(Signal::KILL);
        self.daemon.wait();
    }

    /// Returns a caller of this account and Region.
    pub fn caller(&self, account: &str, region: &str) -> Kms {
        Kms {
            address: self.address,
            account: account.to_owned(),
            region: region.to_owned(),
        }
    }

    /// Waits for `count` selected events about calls to proxies, and returns them. Events can be later than the responses.
    #[track_caller]
    pub fn calls(&self, count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        eventually("events of calls", || {
            let lines = self.daemon.log();
            let events = lines.iter().map(|line| serde_json::from_str(line));
            let calls: Vec<Value> = events
                .filter_map(Result::ok)
                .filter(|event: &Value| event["event"] == "xks_call" && wanted(event))
                .collect();
            (calls.len() >= count).then_some(calls)
        })
    }

    /// Returns the sum of the samples of a metric that have all these labels.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let answer = plain(self.address, "GET", "/metrics");
        let text = String::from_utf8(answer.body).unwrap();
        text.lines()
            .filter_map(|line| sample(line, name, labels))
            .sum()
    }
}

/// Returns the command of the simulator without options.
pub fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kms-simulator"))
}

/// The result of a call: a response, or the name and the message of an exception.
pub type Called = Result<Value, (String, String)>;

/// A caller of KMS.
#[derive(Clone)]
pub struct Kms {
    address: SocketAddr,
    account: String,
    region: String,
}

impl Kms {
    /// Calls an operation and returns its result.
    #[track_caller]
    pub fn call(&self, operation: &str, body: &Value) -> Called {
        self.try_call(operation, body).expect("an answer")
    }

    /// Like `call`, for a simulator that may not be running.
    pub fn try_call(&self, operation: &str, body: &Value) -> io::Result<Called> {
        let answer = exchange(self.address, &self.request(operation, body))?;
        let said: Value = match answer.body.as_slice() {
            b"" => json!({}),
            bytes => serde_json::from_slice(bytes).unwrap(),
        };
        if answer.status == 200 {
            return Ok(Ok(said));
        }
        let text = |field: &str| said[field].as_str().unwrap_or_default().to_owned();
        Ok(Err((text("__type"), text("message"))))
    }

    /// Returns the request of a call. Its signature is not valid and only names the caller.
    fn request(&self, operation: &str, body: &Value) -> Request {
        let scope = format!("20260101/{}/kms/aws4_request", self.region);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-date, Signature={}",
            self.account,
            "0".repeat(64)
        );
        Request::post("/", &self.address.to_string(), body.to_string())
            .replacing("content-type", "application/x-amz-json-1.1")
            .with("x-amz-date", "20260101T000000Z")
            .with("x-amz-target", &format!("TrentService.{operation}"))
            .with("authorization", &authorization)
            .with("connection", "close")
    }

    /// Calls an operation, and expects success.
    #[track_caller]
    pub fn ok(&self, operation: &str, body: &Value) -> Value {
        let answer = self.call(operation, body);
        answer.unwrap_or_else(|error| panic!("{operation} {body}: {error:?}"))
    }

    /// Encrypts with a key.
    #[track_caller]
    pub fn encrypt(&self, key: &str) -> Called {
        let plaintext = STANDARD.encode(b"attack at dawn");
        self.call("Encrypt", &json!({"KeyId": key, "Plaintext": plaintext}))
    }

    /// Returns the description of a store.
    #[track_caller]
    pub fn store(&self, id: &str) -> Value {
        let all = self.ok("DescribeCustomKeyStores", &json!({"CustomKeyStoreId": id}));
        all["CustomKeyStores"][0].clone()
    }

    /// Connects a store and waits for the result: `CONNECTED` or the error code.
    #[track_caller]
    pub fn connect(&self, store: &str) -> String {
        let this = json!({ "CustomKeyStoreId": store });
        self.ok("ConnectCustomKeyStore", &this);
        eventually("an end of CONNECTING", || {
            let store = self.store(store);
            match store["ConnectionState"].as_str().unwrap() {
                "CONNECTING" => None,
                "FAILED" => Some(store["ConnectionErrorCode"].as_str().unwrap().to_owned()),
                other => Some(other.to_owned()),
            }
        })
    }

    /// Disconnects a store.
    #[track_caller]
    pub fn disconnect(&self, store: &str) {
        let this = json!({ "CustomKeyStoreId": store });
        self.ok("DisconnectCustomKeyStore", &this);
    }
}

/// Sends one request on a new connection.
fn exchange(address: SocketAddr, request: &Request) -> io::Result<Response> {
    let mut socket = tcp(address)?;
    socket.write_all(&request.bytes())?;
    let answer = read_response(&mut socket, &mut Vec::new(), false)?;
    answer.ok_or_else(|| io::Error::other("a close instead of an answer"))
}

/// Runs a function several times concurrently, and returns the results.
pub fn at_once<T: Send + 'static>(
    count: usize,
    work: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let work = Arc::new(work);
    let threads: Vec<_> = (0..count)
        .map(|number| {
            let work = Arc::clone(&work);
            thread::spawn(move || work(number))
        })
        .collect();
    let joined = threads.into_iter().map(thread::JoinHandle::join);
    joined.map(Result::unwrap).collect()
}
