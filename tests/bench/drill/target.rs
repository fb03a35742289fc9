//! The proxy under test: its addresses, the signer of requests, and its resources.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use clap::Args;
use serde_json::Value;

use crate::connection::{Connection, Outcome, Server, tcp};

const REGION: &str = "us-east-1";
const SERVICE: &str = "kms-xks-proxy";

/// KMS's part of every path, after the store's prefix.
const ROOT: &str = "/kms/xks/v1";

/// The interval of checks of a condition.
const GLANCE: Duration = Duration::from_millis(50);

/// The addresses and the credential of the proxy.
#[derive(Args)]
pub struct Target {
    /// The address of the listener for KMS. The certificate must be for localhost.
    #[arg(long, value_name = "IP:PORT")]
    server: SocketAddr,
    /// The address of the admin listener.
    #[arg(long, value_name = "IP:PORT")]
    admin: SocketAddr,
    /// The CA of its certificate, PEM.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// A file: ACCESS_KEY_ID:SECRET.
    #[arg(long, value_name = "FILE")]
    credential: PathBuf,
    /// The process id.
    #[arg(long)]
    pid: u32,
}

impl Target {
    /// Opens the proxy for requests.
    pub fn open(&self) -> Outcome<Arc<Proxy>> {
        self.open_key("orders")
    }

    /// Opens the proxy for requests with this key.
    pub fn open_key(&self, key: &str) -> Outcome<Arc<Proxy>> {
        let credential = fs::read_to_string(&self.credential)?;
        let (id, secret) = credential.trim().split_once(':').ok_or("no credential")?;
        let caller = Caller {
            prefix: "/bench".into(),
            key: key.into(),
            credentials: Credentials::new(id, secret, None, None, "bench"),
        };
        let proxy = Proxy::open(self.server, &self.ca, self.admin, self.pid, caller)?;
        Ok(Arc::new(proxy))
    }
}

/// A running proxy, as the target of a client with one key of one store.
pub struct Proxy {
    /// The TLS listener.
    pub server: Server,
    host: String,
    prefix: String,
    key: String,
    credentials: RwLock<Credentials>,
    admin: SocketAddr,
    pid: u32,
}

/// The identity and the key of a client.
#[derive(Clone)]
pub struct Caller {
    /// The path prefix of the key store.
    pub prefix: String,
    /// The key's id.
    pub key: String,
    /// The credentials that sign requests.
    pub credentials: Credentials,
}

impl Proxy {
    /// Opens the proxy with the listeners `server` and `admin` and the process `pid`.
    pub fn open(
        server: SocketAddr,
        ca: &Path,
        admin: SocketAddr,
        pid: u32,
        caller: Caller,
    ) -> Outcome<Self> {
        Ok(Self {
            server: Server::new(server, ca)?,
            host: format!("localhost:{}", server.port()),
            prefix: caller.prefix,
            key: caller.key,
            credentials: RwLock::new(caller.credentials),
            admin,
            pid,
        })
    }

    /// Returns the same proxy for another client.
    pub fn seen_by(&self, caller: Caller) -> Arc<Self> {
        Arc::new(Self {
            server: self.server.clone(),
            host: self.host.clone(),
            prefix: caller.prefix,
            key: caller.key,
            credentials: RwLock::new(caller.credentials),
            admin: self.admin,
            pid: self.pid,
        })
    }

    /// Signs later requests with these credentials.
    pub fn sign_with(&self, credentials: Credentials) {
        let place = self.credentials.write();
        *place.unwrap_or_else(PoisonError::into_inner) = credentials;
    }

    /// Returns the bytes of a request to an operation on the key, such as `encrypt`, signed now.
    pub fn key_request(&self, operation: &str, body: &Value) -> Outcome<Vec<u8>> {
        self.request(&format!("keys/{}/{operation}", self.key), body)
    }

    /// Returns the bytes of a request to `resource` (such as `health`), signed now.
    pub fn request(&self, resource: &str, body: &Value) -> Outcome<Vec<u8>> {
        let path = format!("{}{ROOT}/{resource}", self.prefix);
        let body = serde_json::to_vec(body)?;
        let credentials = self.credentials.read();
        let identity = credentials
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name(SERVICE)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?;
        let uri = format!("https://{}{path}", self.host);
        let fields = [("host", self.host.as_str())];
        let signable =
            SignableRequest::new("POST", uri, fields.into_iter(), SignableBody::Bytes(&body))?;
        let (signed, _) = sign(signable, &parameters.into())?.into_parts();
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        for (name, value) in signed.headers() {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        Ok([head.into_bytes(), body].concat())
    }

    /// Opens a connection to the admin listener.
    pub fn admin(&self) -> Outcome<Connection<std::net::TcpStream>> {
        Ok(Connection::over(tcp(self.admin)?))
    }

    /// Returns the sum of a metric's samples that have all these labels; 0 without a sample.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Outcome<f64> {
        let answer = self.admin()?.exchange(&get("/metrics"))?;
        let text = String::from_utf8(answer.body)?;
        Ok(text
            .lines()
            .filter_map(|line| sample(line, name, labels))
            .sum())
    }

    /// Returns whether the proxy reports a device as usable.
    pub fn serves(&self, hsm: &str) -> Outcome<bool> {
        Ok(self.metric("xks_hsm_usable", &[&label(hsm)])? > 0.0)
    }

    /// Returns the number of jobs of a device.
    pub fn jobs(&self, hsm: &str) -> Outcome<f64> {
        self.metric("xks_hsm_device_seconds_count", &[&label(hsm)])
    }

    /// Returns the mean time of a job in the devices, in milliseconds.
    pub fn mean_device_time(&self) -> Outcome<f64> {
        let sum = self.metric("xks_hsm_device_seconds_sum", &[])?;
        let count = self.metric("xks_hsm_device_seconds_count", &[])?;
        Ok(sum / count.max(1.0) * 1e3)
    }

    /// Returns the processes of the service: the started one and its children.
    fn processes(&self) -> Outcome<Vec<PathBuf>> {
        let launcher = PathBuf::from(format!("/proc/{}", self.pid));
        let children = launcher.join(format!("task/{}/children", self.pid));
        let children = fs::read_to_string(children)?;
        let children = children.split_whitespace();
        let children = children.map(|child| PathBuf::from(format!("/proc/{child}")));
        Ok(children.chain([launcher.clone()]).collect())
    }

    /// Returns the threads of the service.
    fn threads(&self) -> Outcome<Vec<PathBuf>> {
        let mut threads = Vec::new();
        for process in self.processes()? {
            for thread in fs::read_dir(process.join("task"))? {
                threads.push(thread?.path());
            }
        }
        Ok(threads)
    }

    /// Returns the CPU time of its threads.
    pub fn cpu_time(&self) -> Outcome<CpuTime> {
        let mut sum = CpuTime::default();
        for thread in self.threads()? {
            // The first field, in nanoseconds. `stat` has a resolution of 10 ms.
            let line = fs::read_to_string(thread.join("schedstat"))?;
            let nanoseconds = line.split_whitespace().next().unwrap_or_default();
            let worked = Duration::from_nanos(nanoseconds.parse()?);
            match fs::read_to_string(thread.join("comm"))?.starts_with("hsm-") {
                true => sum.device += worked,
                false => sum.own += worked,
            }
        }
        Ok(sum)
    }

    /// Returns the resources of its processes.
    pub fn footprint(&self) -> Outcome<Footprint> {
        let (mut descriptors, mut resident_mib) = (0, 0.0);
        for process in self.processes()? {
            let status = fs::read_to_string(process.join("status"))?;
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let resident = resident.and_then(|rest| rest.split_whitespace().next());
            descriptors += fs::read_dir(process.join("fd"))?.count();
            resident_mib += resident.ok_or("no VmRSS")?.parse::<f64>()? / 1024.0;
        }
        Ok(Footprint {
            threads: self.threads()?.len(),
            descriptors,
            resident_mib,
        })
    }
}

/// The CPU time of a proxy's threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// The threads that call the HSM's library.
    pub device: Duration,
    /// All other threads.
    pub own: Duration,
}

/// The resources of a process.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    /// Threads.
    pub threads: usize,
    /// Open files and sockets.
    pub descriptors: usize,
    /// Resident memory.
    pub resident_mib: f64,
}

/// Returns the bytes of a GET.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// Polls until a condition is true. Returns the time, or none after `patience`.
pub fn moment(
    patience: Duration,
    mut is_so: impl FnMut() -> Outcome<bool>,
) -> Outcome<Option<Instant>> {
    let start = Instant::now();
    while start.elapsed() < patience {
        if is_so()? {
            return Ok(Some(Instant::now()));
        }
        thread::sleep(GLANCE);
    }
    Ok(None)
}

fn label(hsm: &str) -> String {
    format!("hsm=\"{hsm}\"")
}

fn sample(line: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let (series, value) = line.rsplit_once(' ')?;
    let (found, described) = series.split_once('{').unwrap_or((series, ""));
    let meant = found == name && labels.iter().all(|label| described.contains(label));
    meant.then(|| value.parse().ok()).flatten()
}
