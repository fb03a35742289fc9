//! A fake XKS proxy. It behaves correctly until a test gives it a script of delays, errors, wrong responses or closed connections.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::honest::honest;
use crate::harness::http::Request;
use crate::harness::served::read_request;

/// The reaction to a request.
#[derive(Clone)]
pub enum Act {
    /// The correct response.
    Answer,
    /// The correct response, changed by this function of the request body.
    Change(fn(&Value, &mut Value)),
    /// A response with this status, these header fields and this body.
    Say(u16, Vec<(&'static str, &'static str)>, Vec<u8>),
    /// No response until the proxy is honest again.
    Hang,
    /// Closing the connection instead of a response.
    Close,
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `health`, `metadata`, `encrypt` or `decrypt`.
    pub operation: String,
    /// The raw request.
    pub request: Request,
    /// The body of the request.
    pub body: Value,
    /// The common name of the client certificate.
    pub client: Option<String>,
    /// The number of the connection.
    pub connection: u64,
    /// The number of earlier requests for the same operation since the script began.
    pub before: usize,
}

type Script = Arc<dyn Fn(&Seen) -> Act + Send + Sync>;

/// A running fake proxy. It stops when it is dropped.
pub struct FakeProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    tls: Mutex<Arc<ServerConfig>>,
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
    sockets: Mutex<Vec<TcpStream>>,
    connections: AtomicU64,
    is_down: AtomicBool,
    hanging: Mutex<bool>,
    released: Condvar,
}

/// Ignores poisoning, because the test that poisoned the lock has already failed with a better message.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl FakeProxy {
    /// Starts a fake proxy that behaves correctly.
    pub fn start(tls: Arc<ServerConfig>) -> Self {
        // Other tests use ports of 127.0.0.1, so none of them takes this port while the proxy is down.
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            tls: Mutex::new(tls),
            script: Mutex::new(Arc::new(|_| Act::Answer)),
            seen: Mutex::default(),
            sockets: Mutex::default(),
            connections: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
            hanging: Mutex::new(false),
            released: Condvar::new(),
        });
        shared.accept(listener);
        Self { address, shared }
    }

    /// Returns the address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts a script and forgets the received requests.
    pub fn act(&self, script: impl Fn(&Seen) -> Act + Send + Sync + 'static) {
        *lock(&self.shared.script) = Arc::new(script);
        lock(&self.shared.seen).clear();
        *lock(&self.shared.hanging) = true;
    }

    /// Behaves correctly again, and responds to hanging requests.
    pub fn be_honest(&self) {
        self.act(|_| Act::Answer);
        *lock(&self.shared.hanging) = false;
        self.shared.released.notify_all();
    }

    /// Returns the requests for an operation since the script began.
    pub fn seen(&self, operation: &str) -> Vec<Seen> {
        let seen = lock(&self.shared.seen);
        let same = seen.iter().filter(|seen| seen.operation == operation);
        same.cloned().collect()
    }

    /// Uses another certificate for new connections, and closes the existing ones.
    pub fn show(&self, tls: Arc<ServerConfig>) {
        *lock(&self.shared.tls) = tls;
        self.shared.hang_up();
    }

    /// Stops listening.
    pub fn go_down(&self) {
        self.shared.is_down.store(true, Ordering::SeqCst);
        // This connection wakes the accept loop. When it has ended, the listener is closed.
        if let Ok(mut socket) = TcpStream::connect(self.address) {
            drop(io::Read::read(&mut socket, &mut [0]));
        }
        self.shared.hang_up();
    }

    /// Listens again on the same address.
    pub fn come_back(&self) {
        self.shared.is_down.store(false, Ordering::SeqCst);
        self.shared.accept(TcpListener::bind(self.address).unwrap());
    }
}

impl Drop for FakeProxy {
    fn drop(&mut self) {
        self.be_honest();
        if !self.shared.is_down.load(Ordering::SeqCst) {
            self.go_down();
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: TcpListener) {
        let shared = Arc::clone(self);
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if shared.is_down.load(Ordering::SeqCst) {
                    drop(listener);
                    return;
                }
                lock(&shared.sockets).push(socket.try_clone().unwrap());
                let shared = Arc::clone(&shared);
                // A client may close its connection at any time.
                thread::spawn(move || shared.serve(socket));
            }
        });
    }

    fn hang_up(&self) {
        for socket in lock(&self.sockets).drain(..) {
            drop(socket.shutdown(Shutdown::Both));
        }
    }

    fn serve(&self, socket: TcpStream) -> io::Result<()> {
        let connection = self.connections.fetch_add(1, Ordering::SeqCst);
        socket.set_nodelay(true)?;
        let tls = Arc::clone(&lock(&self.tls));
        let tls = ServerConnection::new(tls).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, socket);
        let mut unread = Vec::new();
        while let Some(request) = read_request(&mut stream, &mut unread)? {
            let client = stream
                .conn
                .peer_certificates()
                .map(|chain| common_name(&chain[0]));
            let seen = self.record(request, client, connection);
            let script = Arc::clone(&lock(&self.script));
            let Some(answer) = self.answer(&seen, script(&seen)) else {
                // Dropping the socket is not enough, because `hang_up` holds a clone of it.
                return stream.sock.shutdown(Shutdown::Both);
            };
            stream.write_all(&answer)?;
            stream.flush()?;
        }
        Ok(())
    }

    fn record(&self, request: Request, client: Option<String>, connection: u64) -> Seen {
        let operation = request.target.rsplit('/').next().unwrap().to_owned();
        let mut all = lock(&self.seen);
        let before = all
            .iter()
            .filter(|seen| seen.operation == operation)
            .count();
        let seen = Seen {
            body: serde_json::from_slice(&request.body).unwrap_or_default(),
            operation,
            request,
            client,
            connection,
            before,
        };
        all.push(seen.clone());
        seen
    }

    fn answer(&self, seen: &Seen, act: Act) -> Option<Vec<u8>> {
        let (status, mut right) = honest(seen);
        match act {
            Act::Answer => {}
            Act::Change(change) => change(&seen.body, &mut right),
            Act::Say(status, fields, body) => return Some(http(status, &fields, &body)),
            Act::Hang => {
                let hanging = lock(&self.hanging);
                drop(self.released.wait_while(hanging, |hanging| *hanging));
            }
            Act::Close => return None,
        }
        let fields = [("content-type", "application/json")];
        Some(http(status, &fields, right.to_string().as_bytes()))
    }
}

fn common_name(certificate: &[u8]) -> String {
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    let mut names = certificate.subject().iter_common_name();
    names.next().unwrap().as_str().unwrap().to_owned()
}

fn http(status: u16, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// Returns an error response of the XKS API.
pub fn error_response(status: u16, name: &str) -> Act {
    let body = json!({"errorName": name, "errorMessage": "error of the test"});
    json_response(status, &body)
}

/// Returns a JSON response.
pub fn json_response(status: u16, body: &Value) -> Act {
    let fields = vec![("content-type", "application/json")];
    Act::Say(status, fields, body.to_string().into_bytes())
}
