//! The attacker: keeps many connections open, and replaces those that the proxy closes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use clap::{Args, ValueEnum};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::bodies::{self, Budget};
use crate::connection::Outcome;
use crate::figures::note;

/// The first of the attacker's addresses. The others follow it.
const FIRST: [u8; 4] = [127, 0, 1, 1];

/// The interval of opening connections.
const TICK: Duration = Duration::from_millis(10);

/// The type of attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// TCP connections without data.
    Silent,
    /// TLS connections; every other one sends an unsigned request, and all are silent afterwards.
    Idle,
    /// HTTP/2 with unsigned requests without their bodies.
    Bodies,
    /// Connections to the admin port; every other one sends a request, and all are silent afterwards.
    Admin,
}

/// `strangers attack`.
#[derive(Args)]
pub struct Attack {
    kind: Kind,
    /// The address of the proxy's listener for KMS.
    #[arg(long, value_name = "IP:PORT")]
    server: SocketAddr,
    /// The address of the admin listener.
    #[arg(long, value_name = "IP:PORT")]
    admin: SocketAddr,
    /// The CA of its certificate, PEM.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The number of addresses to attack from.
    #[arg(long, default_value_t = 1)]
    sources: u8,
    /// Attack from the address of the legitimate client.
    #[arg(long)]
    same_address: bool,
    /// Connections to keep open.
    #[arg(long)]
    connections: u64,
    /// Connections to open per second, at most.
    #[arg(long)]
    rate: u32,
    /// Megabits of requests per second, at most (kind bodies).
    #[arg(long, default_value_t = 30)]
    mbit: u32,
}

/// The state that all connections share.
struct Attacker {
    kind: Kind,
    server: SocketAddr,
    admin: SocketAddr,
    tls: Arc<ClientConfig>,
    budget: Budget,
    open: AtomicU64,
    opened: AtomicU64,
    failed: AtomicU64,
    requests: AtomicU64,
}

impl Attack {
    /// Attacks until SIGTERM.
    pub fn run(self) -> Outcome<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.attack())
    }

    async fn attack(self) -> Outcome<()> {
        let attacker = Arc::new(Attacker {
            kind: self.kind,
            server: self.server,
            admin: self.admin,
            tls: tls(&self)?,
            budget: Budget::new(self.mbit),
            open: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        });
        let mut end = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = end.recv() => {}
            () = self.keep_open(&attacker) => {}
        }
        attacker.report(self.kind)
    }

    async fn keep_open(&self, attacker: &Arc<Attacker>) {
        let (mut ticks, mut allowance) = (interval(TICK), 0.0);
        loop {
            ticks.tick().await;
            attacker.budget.refill(TICK);
            let per_tick = f64::from(self.rate) * TICK.as_secs_f64();
            allowance = f64::min(allowance + per_tick, 10.0 * per_tick.max(1.0));
            while allowance >= 1.0 && attacker.open.load(Relaxed) < self.connections {
                allowance -= 1.0;
                let number = attacker.opened.fetch_add(1, Relaxed);
                attacker.open.fetch_add(1, Relaxed);
                let (attacker, source) = (Arc::clone(attacker), self.source(number));
                tokio::spawn(async move {
                    if attacker.occupy(source, number).await.is_err() {
                        attacker.failed.fetch_add(1, Relaxed);
                    }
                    attacker.open.fetch_sub(1, Relaxed);
                });
            }
        }
    }

    fn source(&self, number: u64) -> Ipv4Addr {
        if self.same_address {
            return Ipv4Addr::LOCALHOST;
        }
        let offset = u32::try_from(number % u64::from(self.sources.max(1)));
        Ipv4Addr::from(u32::from(Ipv4Addr::from(FIRST)) + offset.unwrap_or_default())
    }
}

impl Attacker {
    /// Opens a connection, and keeps it until the proxy closes it.
    async fn occupy(&self, source: Ipv4Addr, number: u64) -> Outcome<()> {
        let speaks = number.is_multiple_of(2);
        match self.kind {
            Kind::Silent => wait(connect(source, self.server).await?).await,
            Kind::Admin => {
                let mut stream = connect(source, self.admin).await?;
                if speaks {
                    let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
                    stream.write_all(request).await?;
                }
                wait(stream).await
            }
            Kind::Idle => {
                let mut stream = self.handshake(source).await?;
                if speaks {
                    let request = b"POST /bench/kms/xks/v1/health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
                    stream.write_all(request).await?;
                }
                wait(stream).await
            }
            Kind::Bodies => {
                let stream = self.handshake(source).await?;
                bodies::send_heads(stream, &self.budget, &self.requests).await
            }
        }
    }

    async fn handshake(&self, source: Ipv4Addr) -> Outcome<TlsStream<TcpStream>> {
        let stream = connect(source, self.server).await?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let name = ServerName::try_from("localhost")?;
        Ok(connector.connect(name, stream).await?)
    }

    fn report(&self, kind: Kind) -> Outcome<()> {
        let read = |count: &AtomicU64| count.load(Relaxed);
        note(&format!(
            "attack {kind:?}: {} connections opened, {} open at the end, {} ended with an error, {} requests",
            read(&self.opened),
            read(&self.open),
            read(&self.failed),
            read(&self.requests),
        ))
    }
}

fn tls(attack: &Attack) -> Outcome<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&attack.ca)?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let mut tls = builder
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if attack.kind == Kind::Bodies {
        tls.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok(Arc::new(tls))
}

async fn connect(source: Ipv4Addr, to: SocketAddr) -> Outcome<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    Ok(socket.connect(to).await?)
}

/// Reads until the proxy closes the connection.
async fn wait(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Outcome<()> {
    let mut buffer = [0; 1_024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
