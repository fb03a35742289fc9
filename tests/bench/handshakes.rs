//! `handshakes`: opens connections one after the other, each with one signed request, and prints their number and latencies.
//!
//! Full handshakes, or resumed ones. A run with `--resume` fails if a connection after the first one is not resumed.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use rustls::HandshakeKind;
use rustls::client::Resumption;

#[expect(dead_code, reason = "other programs use connections that stay open")]
mod connection;

use connection::{Connection, Outcome, Server, client_config};

/// Opens connections and prints their latencies.
#[derive(Parser)]
#[command(name = "handshakes")]
struct Arguments {
    /// The address of the server.
    #[arg(long, value_name = "IP:PORT")]
    address: SocketAddr,
    /// The CA of the server's certificate for localhost, PEM.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The HTTP/1.1 request as bytes.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Length of the run.
    #[arg(long, default_value = "3")]
    seconds: u64,
    /// Resume the session of the previous connection.
    #[arg(long)]
    resume: bool,
}

fn main() -> ExitCode {
    let Err(failure) = run(&Arguments::parse()) else {
        return ExitCode::SUCCESS;
    };
    // A closed error stream is not an error.
    let _ = writeln!(io::stderr(), "handshakes: {failure}");
    ExitCode::FAILURE
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let request = fs::read(&arguments.request)?;
    let mut tls = client_config(&arguments.ca)?;
    if !arguments.resume {
        tls.resumption = Resumption::disabled();
    }
    let server = Server::with(arguments.address, tls);
    // The first connection has no session to resume.
    connect(&server, &request)?;
    let (began, length) = (Instant::now(), Duration::from_secs(arguments.seconds));
    let (mut times, mut errors) = (Vec::new(), 0);
    while began.elapsed() < length {
        let started = Instant::now();
        let (kind, status) = connect(&server, &request)?;
        let is_resumed = kind == Some(HandshakeKind::Resumed);
        if is_resumed != arguments.resume {
            return Err(format!("the handshake was {kind:?}").into());
        }
        errors += usize::from(status != 200);
        times.push(started.elapsed());
    }
    print(&mut times, began.elapsed(), errors)
}

/// Opens a connection, sends the request and closes the connection. Returns the kind of its handshake and the status of the response.
fn connect(server: &Server, request: &[u8]) -> Outcome<(Option<HandshakeKind>, u16)> {
    let stream = server.stream()?;
    let kind = stream.conn.handshake_kind();
    // Reading the response also reads the tickets for the next connection.
    let answer = Connection::over(stream).exchange(request)?;
    Ok((kind, answer.status))
}

fn print(times: &mut [Duration], took: Duration, errors: usize) -> Outcome<()> {
    times.sort();
    let at =
        |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    let micros = |time: Option<&Duration>| time.map_or(0, Duration::as_micros);
    writeln!(
        io::stdout(),
        "requests={} per_second={:.0} p50_us={} p99_us={} errors={errors}",
        times.len(),
        times.len() as f64 / took.as_secs_f64(),
        micros(at(50)),
        micros(at(99)),
    )?;
    Ok(())
}
