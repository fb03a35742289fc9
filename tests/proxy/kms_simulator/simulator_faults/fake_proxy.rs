//! An XKS proxy that does what it is told: honest at first, then slow, silent, rude or wrong.

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

/// What becomes of a request.
#[derive(Clone)]
pub enum Act {
    /// The right answer.
    Answer,
    /// The right answer to this body, changed.
    Change(fn(&Value, &mut Value)),
    /// This status, with these fields, and this body.
    Say(u16, Vec<(&'static str, &'static str)>, Vec<u8>),
    /// No answer, until the proxy is told to go on.
    Hang,
    /// The connection's end instead of an answer.
    Close,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `health`, `metadata`, `encrypt` or `decrypt`.
    pub operation: String,
    /// The request, as it came.
    pub request: Request,
    /// Its body.
    pub body: Value,
    /// The common name of the client's certificate.
    pub client: Option<String>,
    /// Which of the proxy's connections it came on.
    pub connection: u64,
    /// How many of the same operation have come since the script began.
    pub before: usize,
}

type Script = Arc<dyn Fn(&Seen) -> Act + Send + Sync>;

/// A running one; it ends when dropped.
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

/// A poisoned lock means that a test has failed already: its own message matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl FakeProxy {
    /// An honest one.
    pub fn start(tls: Arc<ServerConfig>) -> Self {
        // Other tests get ports of 127.0.0.1: none of them takes this one while the proxy is down.
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Behaves like this from now on; what has been seen is forgotten.
    pub fn act(&self, script: impl Fn(&Seen) -> Act + Send + Sync + 'static) {
        *lock(&self.shared.script) = Arc::new(script);
        lock(&self.shared.seen).clear();
        *lock(&self.shared.hanging) = true;
    }

    /// Is honest from now on, and answers what hangs.
    pub fn be_honest(&self) {
        self.act(|_| Act::Answer);
        *lock(&self.shared.hanging) = false;
        self.shared.released.notify_all();
    }

    /// The requests for an operation since the script began.
    pub fn seen(&self, operation: &str) -> Vec<Seen> {
        let seen = lock(&self.shared.seen);
        let same = seen.iter().filter(|seen| seen.operation == operation);
        same.cloned().collect()
    }

    /// Shows another certificate from now on, to whoever has to connect again.
    pub fn show(&self, tls: Arc<ServerConfig>) {
        *lock(&self.shared.tls) = tls;
        self.shared.hang_up();
    }

    /// Nobody listens any more.
    pub fn go_down(&self) {
        self.shared.is_down.store(true, Ordering::SeqCst);
        // Wakes the loop that accepts; the port is closed when this connection is.
        if let Ok(mut socket) = TcpStream::connect(self.address) {
            drop(io::Read::read(&mut socket, &mut [0]));
        }
        self.shared.hang_up();
    }

    /// Listens again, where it did.
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
                // Who goes away in the middle of it is no concern of a fake's.
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
                .map(|chain| name_of(&chain[0]));
            let seen = self.note(request, client, connection);
            let script = Arc::clone(&lock(&self.script));
            let Some(answer) = self.answer(&seen, script(&seen)) else {
                // Dropping it is not enough: `hang_up` has it too.
                return stream.sock.shutdown(Shutdown::Both);
            };
            stream.write_all(&answer)?;
            stream.flush()?;
        }
        Ok(())
    }

    fn note(&self, request: Request, client: Option<String>, connection: u64) -> Seen {
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

fn name_of(certificate: &[u8]) -> String {
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

/// An error as the specification has it.
pub fn refusal(status: u16, name: &str) -> Act {
    let body = json!({"errorName": name, "errorMessage": "as the test wants it"});
    json_of(status, &body)
}

/// A JSON answer.
pub fn json_of(status: u16, body: &Value) -> Act {
    let fields = vec![("content-type", "application/json")];
    Act::Say(status, fields, body.to_string().into_bytes())
}
