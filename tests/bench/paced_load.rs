//! `paced-load`: sends one pre-signed request at a steady rate, as KMS would, and says how long the answers took.
//!
//! An open loop: each request has a moment at which it is due, whatever became of those before it, and its time counts from that
//! moment, so that a server which stalls is charged for everything that came due meanwhile. One blocking thread per connection,
//! because a thread sleeps to within some 50 µs, an async timer to within a millisecond.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A server that is silent for longer has failed the request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time for all threads to reach their first request.
const RUN_UP: Duration = Duration::from_millis(200);

/// Sends a request over TLS at a steady rate and reports latencies from the intended moment of sending.
#[derive(Parser)]
#[command(name = "paced-load")]
struct Arguments {
    /// Where the server listens; its certificate must be for localhost.
    #[arg(long, value_name = "IP:PORT")]
    address: SocketAddr,
    /// The CA of the server's certificate, PEM.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The HTTP/1.1 request, byte for byte.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Requests per second.
    #[arg(long, default_value = "1800", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Length of the run.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Connections that take turns.
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: u32,
}

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let Err(failure) = run(&Arguments::parse()) else {
        return ExitCode::SUCCESS;
    };
    // Nothing is left to be done about an error stream that is gone.
    let _ = writeln!(io::stderr(), "paced-load: {failure}");
    ExitCode::FAILURE
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let target = Arc::new(Target::load(arguments)?);
    let connections = (0..arguments.connections)
        .map(|_| Connection::open(&target))
        .collect::<Outcome<Vec<_>>>()?;
    let start = Instant::now() + RUN_UP;
    let threads: Vec<_> = connections
        .into_iter()
        .zip(0..)
        .map(|(connection, turn)| {
            let (schedule, target) = (Schedule::new(arguments, start, turn), Arc::clone(&target));
            thread::spawn(move || send_all(&target, connection, schedule))
        })
        .collect();
    let mut tally = Tally::default();
    for thread in threads {
        tally.add(thread.join().map_err(|_| "a sending thread died")?);
    }
    report(tally, start.elapsed())
}

/// The moments at which one connection's requests are due: every `connections`-th of the whole run.
struct Schedule {
    start: Instant,
    turns: std::iter::StepBy<std::ops::Range<u32>>,
    rate: u32,
}

impl Schedule {
    fn new(arguments: &Arguments, start: Instant, turn: u32) -> Self {
        Self {
            start,
            turns: (turn..arguments.rate * arguments.seconds)
                .step_by(arguments.connections as usize),
            rate: arguments.rate,
        }
    }
}

impl Iterator for Schedule {
    type Item = Instant;

    fn next(&mut self) -> Option<Instant> {
        let offset = f64::from(self.turns.next()?) / f64::from(self.rate);
        Some(self.start + Duration::from_secs_f64(offset))
    }
}

#[derive(Default)]
struct Tally {
    latencies: Vec<Duration>,
    errors: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.errors += other.errors;
    }
}

fn send_all(target: &Target, connection: Connection, schedule: Schedule) -> Tally {
    let mut tally = Tally::default();
    let mut connection = Some(connection);
    for due in schedule {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        match send(target, connection.take()) {
            Ok(still_open) => connection = Some(still_open),
            Err(_) => tally.errors += 1,
        }
        tally.latencies.push(due.elapsed());
    }
    tally
}

fn send(target: &Target, connection: Option<Connection>) -> Outcome<Connection> {
    let mut connection = match connection {
        Some(open) => open,
        None => Connection::open(target)?,
    };
    connection.exchange(&target.request)?;
    Ok(connection)
}

struct Target {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    request: Vec<u8>,
}

impl Target {
    fn load(arguments: &Arguments) -> Outcome<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&arguments.ca)?)?;
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address: arguments.address,
            tls: Arc::new(tls),
            request: fs::read(&arguments.request)?,
        })
    }
}

struct Connection(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Connection {
    fn open(target: &Target) -> Outcome<Self> {
        let tls =
            ClientConnection::new(Arc::clone(&target.tls), ServerName::try_from("localhost")?)?;
        let tcp = TcpStream::connect_timeout(&target.address, PATIENCE)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(tls, tcp);
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Any status but 200 is an error, and so is an answer without a length.
    fn exchange(&mut self, request: &[u8]) -> Outcome<()> {
        self.0.get_mut().write_all(request)?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200 ") {
            return Err(format!("not a success: {line}").into());
        }
        let length = self.content_length()?;
        io::copy(&mut (&mut self.0).take(length), &mut io::sink())?;
        Ok(())
    }

    fn content_length(&mut self) -> Outcome<u64> {
        let mut length = None;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = Some(value.trim().parse()?);
                }
                Some(_) => {}
                None => return length.ok_or_else(|| "an answer without a length".into()),
            }
        }
    }
}

fn report(mut tally: Tally, wall: Duration) -> Outcome<()> {
    tally.latencies.sort_unstable();
    let at = |quantile: f64| {
        let index = (tally.latencies.len() as f64 * quantile) as usize;
        let latency = tally.latencies.get(index).or(tally.latencies.last());
        latency.map_or(0, Duration::as_micros)
    };
    Ok(writeln!(
        io::stdout(),
        "requests={} per_second={:.0} p50_us={} p99_us={} p999_us={} max_us={} errors={}",
        tally.latencies.len(),
        tally.latencies.len() as f64 / wall.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        tally.errors,
    )?)
}
