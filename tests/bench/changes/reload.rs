//! Ten changes of the configuration per second under load: no request may fail, and memory must not grow.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::client::unreadable;
use crate::connection::Outcome;
use crate::document::{Document, Key, Store};
use crate::figures::{at_least, at_most, note, quantile};
use crate::open_loop::{Load, Log, Plan};
use crate::running::{Running, applied, reloads};
use crate::scene::{Scene, Signer};
use crate::target::{Footprint, Proxy};

/// The interval of the changes.
const PERIOD: Duration = Duration::from_millis(100);

/// The certificate changes at every change of this number. Half as many changes later the certificate is checked.
const CERTIFICATE_EVERY: u64 = 20;

/// The requests per connection: a tenth of the requests needs a handshake.
const REQUESTS_PER_CONNECTION: u64 = 10;

/// The growth of memory after a third of the time that an allocator may cause. Any leak per change exceeds it after hundreds of changes: a
/// configuration has some KiB, its certificates and keys some more.
const FLAT_MIB: f64 = 4.0;

/// The share of changes that must have been loaded individually.
const APPLIED_PERCENT: f64 = 99.0;

/// One of this many ciphertexts is decrypted at the end.
const CHECK_EVERY: usize = 20;

/// The environment and the rate of the load.
#[derive(Args)]
pub struct Reload {
    #[command(flatten)]
    scene: Scene,
    /// Requests per second.
    #[arg(long, default_value = "1000")]
    rate: u32,
}

/// The changes and their times.
struct Storm {
    document: Document,
    running: Running,
    proxy: Arc<Proxy>,
    spare: Signer,
}

/// The observed memory, and the certificates that were served.
#[derive(Default)]
struct Seen {
    footprints: Vec<Footprint>,
    certificates: u32,
    exchanges: u32,
}

impl Reload {
    /// Runs load and changes, and prints the results.
    pub fn run(&self) -> Outcome<()> {
        let mut storm = Storm::prepare(&self.scene)?;
        let load = Load::follow(
            &storm.proxy,
            &Plan {
                requests_per_connection: REQUESTS_PER_CONNECTION,
                ..Plan::mixed(self.rate)
            },
        )?;
        let (start, before) = (Instant::now(), applied(&storm.proxy)?);
        let changes = self.scene.seconds * 10;
        let mut seen = Seen::default();
        for number in 0..changes {
            let due = start + PERIOD * u32::try_from(number)?;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            storm.change(number)?;
            storm.look(number, &mut seen)?;
        }
        thread::sleep(PERIOD);
        let took = start.elapsed().as_secs_f64();
        let log = load.stop()?;
        log.explain(start)?;
        note(&format!("{changes} changes in {took:.1} s"))?;
        report_requests(&storm.proxy, &log)?;
        report_changes(&storm.proxy, changes, before)?;
        report_seen(&seen)
    }
}

impl Storm {
    fn prepare(scene: &Scene) -> Outcome<Self> {
        let (signer, spare) = (scene.signer(0)?, scene.signer(1)?);
        let mut document = scene.document("reload");
        let store = Store::with_one_key("bench", &signer, "orders");
        let caller = store.caller("orders")?;
        document.stores.push(store);
        let running = Running::start(&document)?;
        let proxy = running.seen_by(caller)?;
        Ok(Self {
            document,
            running,
            proxy,
            spare,
        })
    }

    /// Replaces the configuration, and signals the proxy.
    fn change(&mut self, number: u64) -> Outcome<()> {
        if number.is_multiple_of(CERTIFICATE_EVERY) {
            let scene = &self.document.scene;
            scene.exchange_certificate(certificate_at(number))?;
        }
        let store = self.document.stores.first_mut().ok_or("no store")?;
        match number % 4 {
            // A quota that the load does not reach, and that differs each time.
            0 => store.quota = Some(u32::try_from(100_000 + number)?),
            1 => store.signers.push(self.spare.clone()),
            2 => store.keys.push(Key::new("spare")),
            _ => {
                store.signers.truncate(1);
                store.keys.truncate(1);
            }
        }
        self.document.write()?;
        self.running.hang_up()
    }

    /// Measures the memory each second, and checks the certificate some time after a change.
    fn look(&self, number: u64, seen: &mut Seen) -> Outcome<()> {
        if number % 10 == 9 {
            seen.footprints.push(self.proxy.footprint()?);
        }
        if number % CERTIFICATE_EVERY == CERTIFICATE_EVERY / 2 {
            let directory = &self.document.scene.directory;
            let expected = leaf(&directory.join(certificate_at(number)))?;
            let stream = self.proxy.server.stream()?;
            let served = stream.conn.peer_certificates().and_then(<[_]>::first);
            seen.exchanges += 1;
            seen.certificates += u32::from(served.is_some_and(|leaf| **leaf == *expected));
        }
        Ok(())
    }
}

/// Returns the directory of the certificate that is served after a change.
fn certificate_at(number: u64) -> &'static str {
    match (number / CERTIFICATE_EVERY).is_multiple_of(2) {
        true => "tls-b",
        false => "tls-a",
    }
}

fn leaf(directory: &Path) -> Outcome<Vec<u8>> {
    let pem = fs::read(directory.join("server.pem"))?;
    Ok(CertificateDer::from_pem_slice(&pem)?.to_vec())
}

fn report_requests(proxy: &Arc<Proxy>, log: &Log) -> Outcome<()> {
    let (p50, p99) = (
        quantile(log.latencies(), 0.5),
        quantile(log.latencies(), 0.99),
    );
    note(&format!("p50 {p50:.2} ms, p99 {p99:.2} ms"))?;
    let requests = log.samples.len() as f64;
    at_least("10 changes a second: requests", requests, "", 1.0)?;
    let name = "10 changes a second: failed requests";
    at_most(name, log.failed() as f64, "", 0.0)?;
    let checked: Vec<_> = log
        .ciphertexts
        .iter()
        .step_by(CHECK_EVERY)
        .cloned()
        .collect();
    let lost = unreadable(proxy, &checked)? as f64;
    let name = "10 changes a second: ciphertexts that cannot be decrypted";
    at_most(name, lost, "", 0.0)
}

fn report_changes(proxy: &Proxy, changes: u64, before: f64) -> Outcome<()> {
    let (unchanged, rejected) = (reloads(proxy, "unchanged")?, reloads(proxy, "refused")?);
    note(&format!(
        "{unchanged} reloads found no change, {rejected} found errors"
    ))?;
    let applied = applied(proxy)? - before;
    note(&format!("{applied} of {changes} changes applied"))?;
    let name = "10 changes a second: changes applied, each by itself";
    at_least(name, applied / changes as f64 * 100.0, "%", APPLIED_PERCENT)?;
    let name = "10 changes a second: rejected reloads";
    at_most(name, rejected, "", 0.0)
}

fn report_seen(seen: &Seen) -> Outcome<()> {
    let resident: Vec<String> = seen
        .footprints
        .iter()
        .map(|footprint| format!("{:.1}", footprint.resident_mib))
        .collect();
    note(&format!("MiB each second: {}", resident.join(" ")))?;
    let third = seen.footprints.get(seen.footprints.len() / 3);
    let (third, last) = (
        third.ok_or("too short to measure memory")?,
        seen.footprints.last().ok_or("no memory")?,
    );
    note(&format!("after a third: {third:?}, at the end: {last:?}"))?;
    let memory = last.resident_mib - third.resident_mib;
    let name = "10 changes a second: more memory than after a third";
    at_most(name, memory, "MiB", FLAT_MIB)?;
    let threads = last.threads as f64 - third.threads as f64;
    at_most("10 changes a second: more threads", threads, "", 0.0)?;
    let missed = f64::from(seen.exchanges - seen.certificates);
    note(&format!("{} changes of the certificate", seen.exchanges))?;
    let name = "10 changes a second: new certificates not served after 1 s";
    at_most(name, missed, "", 0.0)
}
