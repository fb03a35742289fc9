//! `xks-proxy bench`.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::target::{SERVICE, Target, TargetOptions};
use crate::cli::input::files::read;
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::client::{Caller, TlsClient, Trust};
use crate::sigv4::Signer;
use crate::toolkit::bench::{
    self, BenchError, BenchTarget, Mix, Plan, Report, Shape, Sizes, Snapshot,
};

/// Put load on a proxy, as KMS would, and measure how soon it answers.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    xks-proxy bench --endpoint https://localhost:8443 --credential console.json --ca ca.pem --key orders --rate 1800\n  \
    xks-proxy bench … --closed --connections 64 --duration 30s --save new.json --compare old.json --html report.html\n  \
    xks-proxy bench … --ramp --rate 200 --duration 10s\n\n\
    Latencies count from the moment at which a request should have begun (open loop), so that a stall shows in every request \
    that fell into it. A request that has no good answer after --timeout has failed; KMS waits 250 ms.\n\n\
    Only this machine may be a target, unless you say that the endpoint is yours.\n\n\
    Exit codes: 0 measured, every answer was good; 1 some were not (or the ramp held nothing, or the run is slower than \
    --max-slowdown); 2 wrong usage; 70 internal error.")]
pub(in crate::cli) struct Bench {
    #[command(flatten)]
    target: TargetOptions,
    /// Requests per second of the open loop; where a ramp begins.
    #[arg(long, value_name = "N", default_value = "100", value_parser = rate)]
    rate: f64,
    /// Closed loop: each connection asks again once it was answered.
    #[arg(long, conflicts_with_all = ["rate", "ramp"])]
    closed: bool,
    /// Find the highest rate at which 99.9 % are answered within 250 ms.
    #[arg(long)]
    ramp: bool,
    /// How long; of a ramp each step.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// The maximum number of connections at a time; in a closed loop the exact number.
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// How long a request may take.
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = duration)]
    timeout: Duration,
    /// Operations with weights.
    #[arg(
        long,
        value_name = "OPERATION=WEIGHT,…",
        default_value = "encrypt=1,decrypt=1"
    )]
    mix: Mix,
    /// Lengths of plaintexts in bytes, with weights.
    #[arg(long, value_name = "BYTES=WEIGHT,…", default_value = "32")]
    sizes: Sizes,
    /// Length of the additional authenticated data in bytes.
    #[arg(long, value_name = "BYTES", default_value = "200", value_parser = clap::value_parser!(u16))]
    aad: u16,
    /// Do not ask for the ciphertext data integrity value.
    #[arg(long)]
    no_cdiv: bool,
    /// Share of requests that open a new connection, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    new_connections: f64,
    /// Compare the plaintext of one in N Decrypt requests; 0 for none.
    #[arg(long, value_name = "N", default_value = "10")]
    verify_every: u32,
    /// Save the outcome as JSON.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Compare with an outcome that was saved.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// With --compare: end with 1 when the 99th percentile is by more than this above the old one.
    #[arg(long, value_name = "PERCENT", requires = "compare")]
    max_slowdown: Option<f64>,
    /// Write a report with charts.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the outcome as one JSON object.
    #[arg(long)]
    json: bool,
    /// No live progress.
    #[arg(long)]
    quiet: bool,
    /// The endpoint is not on this machine, and load on it is mine to make.
    #[arg(long)]
    i_own_this_endpoint: bool,
}

impl Bench {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        self.measure().unwrap_or_else(CommandError::report)
    }

    fn measure(&self) -> Result<ExitStatus, CommandError> {
        let target = self.target.target()?;
        let old = self.compare.as_deref().map(saved).transpose()?;
        let target = self.bench_target(target)?;
        let outcome = bench::run(target, self.plan(), |snapshot| self.show(snapshot));
        let report = outcome.map_err(failed)?;
        self.write_files(&report, old.as_ref())?;
        // A closed output changes nothing about the exit code.
        drop(self.print(&report, old.as_ref()));
        Ok(self.status(&report, old.as_ref()))
    }

    fn bench_target(&self, target: Target) -> Result<BenchTarget, CommandError> {
        let key = self.target.key.clone();
        let key =
            key.ok_or_else(|| CommandError::usage("give --key, an external key id of the store"))?;
        let is_own = self.i_own_this_endpoint;
        let address = bench::address_of(target.connect, &target.host, target.port, is_own);
        let address = address.map_err(|error| CommandError::usage(error.to_string()))?;
        let credential = target.credential();
        let credential = credential.map_err(|error| CommandError::usage(error.to_string()))?;
        let tls = TlsClient::new(Trust::PublicAnd(target.authorities), target.identity);
        let caller = Caller {
            address,
            host: target.host,
            named_port: target.port,
            path: target.path,
            signer: Signer::new(credential, &target.region, SERVICE),
            tls: tls.map_err(|error| CommandError::usage(error.to_string()))?,
        };
        Ok(BenchTarget { caller, key })
    }

    fn plan(&self) -> Plan {
        Plan {
            shape: match (self.closed, self.ramp) {
                (true, _) => Shape::Closed,
                (_, true) => Shape::Ramp(self.rate),
                _ => Shape::Open(self.rate),
            },
            duration: self.duration,
            connections: usize::from(self.connections),
            timeout: self.timeout,
            mix: self.mix.clone(),
            sizes: self.sizes.clone(),
            aad: usize::from(self.aad),
            integrity: !self.no_cdiv,
            new_connections: self.new_connections / 100.0,
            verify_every: self.verify_every,
        }
    }

    /// Live progress, on standard error: standard output is for the outcome.
    fn show(&self, snapshot: &Snapshot) {
        let mut stderr = io::stderr();
        if self.quiet || !stderr.is_terminal() {
            return;
        }
        // Without standard error nobody is watching.
        drop(writeln!(stderr, "{snapshot}"));
    }

    fn write_files(&self, report: &Report, old: Option<&Report>) -> Result<(), CommandError> {
        if let Some(file) = &self.save {
            write(file, &report.to_json())?;
        }
        if let Some(file) = &self.html {
            write(file, &bench::html(report, old))?;
        }
        Ok(())
    }

    fn print(&self, report: &Report, old: Option<&Report>) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.json {
            return writeln!(stdout, "{}", report.to_json());
        }
        write!(stdout, "{}", bench::text(report))?;
        match old {
            Some(old) => write!(stdout, "\n{}", bench::comparison(old, report)),
            None => Ok(()),
        }
    }

    fn status(&self, report: &Report, old: Option<&Report>) -> ExitStatus {
        let slowdown = old.map_or(0.0, |old| bench::slowdown(old, report));
        let is_slower = self.max_slowdown.is_some_and(|most| slowdown > most);
        match report.is_good() && !is_slower {
            true => ExitStatus::Done,
            false => ExitStatus::No,
        }
    }
}

fn failed(error: BenchError) -> CommandError {
    let status = match error {
        BenchError::Unreachable(_) | BenchError::NothingToDecrypt(_) | BenchError::Interrupted => {
            ExitStatus::No
        }
        BenchError::Runtime(_) | BenchError::Lost => ExitStatus::Internal,
    };
    CommandError::new(status, error.to_string())
}

fn saved(file: &Path) -> Result<Report, CommandError> {
    let report = Report::parse(&read(file)?);
    report.map_err(|fault| {
        CommandError::new(
            ExitStatus::WrongUsage,
            format!("{} {fault}", file.display()),
        )
    })
}

fn write(file: &Path, text: &str) -> Result<(), CommandError> {
    let written = std::fs::write(file, text);
    written.map_err(|error| {
        CommandError::internal(format!("cannot write {}: {error}", file.display()))
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match parsed.is_zero() || parsed > Duration::from_secs(86_400) {
        true => Err("more than nothing, at most a day".to_owned()),
        false => Ok(parsed),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, 0.1, 1e6)
}

fn percent(text: &str) -> Result<f64, String> {
    number(text, 0.0, 100.0)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let parsed = text.parse().ok().filter(|n| (least..=most).contains(n));
    parsed.ok_or_else(|| format!("not a number from {least} to {most}"))
}
