//! A man in the middle that breaks one rule. It terminates TLS, forwards requests to the real proxy, and changes responses. It signs changed
//! requests again.

use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustls::{ClientConfig, ServerConfig, ServerConnection, StreamOwned};

use super::mutants::{Change, Reply};
use crate::harness::http::{Connection, Request};
use crate::harness::served::{read_request, tls_server};
use crate::harness::sign::Signer;
use crate::harness::{PAYMENTS, Proxy};

/// A running mutant. It ends when it is dropped.
pub struct Mutant {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

struct Middle {
    server: SocketAddr,
    client: Arc<ClientConfig>,
    tls: Arc<ServerConfig>,
    change: Change,
}

impl Mutant {
    /// Starts a mutant in front of this proxy.
    pub fn start(proxy: &Proxy, change: Change) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, ended) = (
            listener.local_addr().unwrap(),
            Arc::new(AtomicBool::new(false)),
        );
        let middle = Arc::new(Middle {
            server: proxy.server,
            client: Arc::clone(&proxy.client),
            tls: tls(proxy),
            change,
        });
        let is_over = Arc::clone(&ended);
        let accepting = thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let middle = Arc::clone(&middle);
                // Ignores clients that disconnect.
                thread::spawn(move || middle.serve(socket));
            }
        });
        Self {
            address,
            ended,
            accepting: Some(accepting),
        }
    }

    /// Returns the port of its listener.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Mutant {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the loop.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

fn tls(proxy: &Proxy) -> Arc<ServerConfig> {
    let key = rcgen::KeyPair::generate().unwrap();
    tls_server(&proxy.setup.authority.server(key), None)
}

impl Middle {
    fn serve(&self, socket: TcpStream) -> io::Result<()> {
        if let Change::Hello(reply) = self.change {
            return answer_hello(socket, reply);
        }
        let tls = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, socket);
        let mut unread = Vec::new();
        while let Some(request) = read_request(&mut stream, &mut unread)? {
            let reply = self.reply(&request)?;
            stream.write_all(&reply.bytes())?;
            stream.flush()?;
        }
        Ok(())
    }

    fn reply(&self, request: &Request) -> io::Result<Reply> {
        match self.change {
            Change::Answers(change) => {
                let mut reply = self.forwarded(request)?;
                change(&mut reply);
                Ok(reply)
            }
            Change::Exchanges(change) => {
                let mut reply = self.forwarded(request)?;
                change(request, &mut reply);
                Ok(reply)
            }
            Change::Requests(change) => {
                let mut changed = request.clone();
                change(&mut changed);
                self.forwarded(&signed_again(changed))
            }
            Change::Hello(_) => Err(io::Error::other("no request arrives")),
        }
    }

    fn forwarded(&self, request: &Request) -> io::Result<Reply> {
        let mut connection = Connection::open(self.server, Arc::clone(&self.client))?;
        connection.send(&request.clone().without("content-length").bytes())?;
        let answer = match request.method.as_str() {
            "HEAD" => connection.head_response(),
            _ => connection.try_response()?,
        };
        let answer = answer.ok_or_else(|| io::Error::other("a close"))?;
        Ok(Reply {
            status: answer.status,
            headers: answer.headers,
            body: answer.body,
        })
    }
}

/// Returns the request with a valid signature of the store: the mutant forwards it without verification.
fn signed_again(request: Request) -> Request {
    let bare = ["authorization", "x-amz-date", "content-length"];
    let request = bare
        .iter()
        .fold(request, |request, name| request.without(name));
    Signer::new(PAYMENTS.access_key_id, PAYMENTS.secret, PAYMENTS.region).sign(&request)
}

fn answer_hello(mut socket: TcpStream, reply: &[u8]) -> io::Result<()> {
    let _ = socket.read(&mut [0; 4096])?;
    socket.write_all(reply)
}
