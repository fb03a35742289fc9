//! `paced-load`: sends one signed request at a steady rate, as KMS would, and prints the latencies.
//!
//! An open loop: each request has an intended time, independent of earlier requests, and its latency counts from that time. A stall of the
//! server shows in all requests that were due in it.

use std::fs;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;

mod connection;

use connection::{Answer, Connection, Outcome, Server, TlsConnection, tcp};

/// The time for all threads to reach their first request.
const RUN_UP: Duration = Duration::from_millis(200);

/// Sends a request at a steady rate, and prints latencies from the intended time of sending.
#[derive(Parser)]
#[command(name = "paced-load")]
struct Arguments {
    /// The address of the server.
    #[arg(long, value_name = "IP:PORT")]
    address: SocketAddr,
    /// The CA of the server's certificate for localhost, PEM. Without it the connection is plain TCP.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The HTTP/1.1 request as bytes.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Requests per second.
    #[arg(long, default_value = "1800", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Length of the run.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// The number of connections.
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: u32,
}

fn main() -> ExitCode {
    let Err(failure) = run(&Arguments::parse()) else {
        return ExitCode::SUCCESS;
    };
    // A closed error stream is not an error.
    let _ = writeln!(io::stderr(), "paced-load: {failure}");
    ExitCode::FAILURE
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let target = Arc::new(Target::load(arguments)?);
    let connections = (0..arguments.connections)
        .map(|_| target.connect())
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
        tally.add(thread.join().map_err(|_| "a sending thread panicked")?);
    }
    report(tally, start.elapsed())
}

/// The intended times of one connection's requests: every `connections`-th of the whole run.
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

fn send_all(target: &Target, connection: AnyConnection, schedule: Schedule) -> Tally {
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

fn send(target: &Target, connection: Option<AnyConnection>) -> Outcome<AnyConnection> {
    let mut connection = match connection {
        Some(open) => open,
        None => target.connect()?,
    };
    let answer = connection.exchange(&target.request)?;
    match answer.status {
        200 => Ok(connection),
        status => Err(format!("{status}: {}", String::from_utf8_lossy(&answer.body)).into()),
    }
}

/// TLS or plain TCP.
enum AnyConnection {
    Tls(Box<TlsConnection>),
    Plain(Connection<TcpStream>),
}

impl AnyConnection {
    fn exchange(&mut self, request: &[u8]) -> Outcome<Answer> {
        match self {
            Self::Tls(connection) => connection.exchange(request),
            Self::Plain(connection) => connection.exchange(request),
        }
    }
}

struct Target {
    address: SocketAddr,
    tls: Option<Server>,
    request: Vec<u8>,
}

impl Target {
    fn load(arguments: &Arguments) -> Outcome<Self> {
        let address = arguments.address;
        let ca = arguments.ca.as_deref();
        Ok(Self {
            address,
            tls: ca.map(|ca| Server::new(address, ca)).transpose()?,
            request: fs::read(&arguments.request)?,
        })
    }

    fn connect(&self) -> Outcome<AnyConnection> {
        Ok(match &self.tls {
            Some(server) => AnyConnection::Tls(Box::new(server.connect()?)),
            None => AnyConnection::Plain(Connection::over(tcp(self.address)?)),
        })
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
