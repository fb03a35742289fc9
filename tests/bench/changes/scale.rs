//! A hundred key stores with a hundred keys each, compared with one store of one key on the same token: the start, and the cost of a request.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::encrypt_request;
use crate::connection::Outcome;
use crate::document::{Document, Key, Store};
use crate::figures::{at_most, note};
use crate::open_loop::{Load, Plan};
use crate::running::Running;
use crate::scene::Scene;
use crate::sweep::Costs;
use crate::target::Proxy;
use crate::tenants::median;

const STORES: usize = 100;
const KEYS: usize = 100;

/// The number of starts. Before each, a process without a proxy searches the token.
const STARTS: usize = 3;

/// The number of rounds. The proxies are measured alternately.
const ROUNDS: usize = 15;

/// The time of a start that the proxy may add, in seconds.
const START_S: f64 = 2.0;

/// The allowed ratio of the cost of a request.
const MORE: f64 = 1.05;

/// The interval of requests on one connection. It keeps the number of connections, and so of handshakes, small.
const TURN: Duration = Duration::from_millis(32);

/// The time of a measurement without requests.
const IDLE: Duration = Duration::from_secs(2);

/// The step from one key to the next, so that neighbours do not follow each other. Coprime to the number of keys.
const STRIDE: usize = 3_571;

/// The environment and the rate of the load. The token has the keys `k-0001` to `k-10000`.
#[derive(Args)]
pub struct Scale {
    #[command(flatten)]
    scene: Scene,
    /// Requests per second.
    #[arg(long, default_value = "1000")]
    rate: u32,
}

/// A running proxy and its requests.
struct Subject {
    name: &'static str,
    proxy: Arc<Proxy>,
    plan: Plan,
    phase: Duration,
    /// CPU µs per second without requests: the proxy checks its files, and more stores have more files.
    idle: f64,
    /// CPU µs per request beyond that, in the proxy's own threads and in those that call the HSM's library.
    own: Vec<f64>,
    device: Vec<f64>,
    failed: usize,
}

impl Scale {
    /// Measures starts, then costs.
    pub fn run(&self) -> Outcome<()> {
        let many = self.many()?;
        self.measure_start(&many)?;
        let one = self.one()?;
        let (small, large) = (Running::start(&one)?, Running::start(&many)?);
        let mut subjects = [
            Subject::prepare("1 × 1", &small, &one, self.rate)?,
            Subject::prepare(
                "100 × 100, one key used",
                &large,
                &first_key(&many),
                self.rate,
            )?,
            Subject::prepare("100 × 100, all keys used", &large, &many, self.rate)?,
        ];
        for number in 0..ROUNDS {
            // In alternating order, so that slow changes of the machine affect all in the same way.
            match number.is_multiple_of(2) {
                true => subjects.iter_mut().try_for_each(Subject::measure)?,
                false => subjects.iter_mut().rev().try_for_each(Subject::measure)?,
            }
        }
        report_costs(&self.scene, &subjects)
    }

    /// Returns a configuration with one store of one key.
    fn one(&self) -> Outcome<Document> {
        let mut document = self.scene.document("one");
        let store = Store::with_one_key("only", &self.scene.signer(STORES)?, &label(0, 0));
        document.stores.push(store);
        Ok(document)
    }

    /// Returns a configuration with all keys in their stores.
    fn many(&self) -> Outcome<Document> {
        let mut document = self.scene.document("many");
        for store in 0..STORES {
            let signer = self.scene.signer(store)?;
            let name = format!("s{store:02}");
            document.stores.push(Store {
                keys: (0..KEYS).map(|key| Key::new(&label(store, key))).collect(),
                ..Store::with_one_key(&name, &signer, "")
            });
        }
        Ok(document)
    }

    fn measure_start(&self, document: &Document) -> Outcome<()> {
        let (mut beyond, mut words) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let search = Costs::measure_token(&self.scene, 0)?.search.as_secs_f64();
            let start = Running::start(document)?.ready_after.as_secs_f64();
            beyond.push(start - search);
            words.push(format!("{start:.2} s, the search alone {search:.2} s"));
        }
        note(&format!("ready after {}", words.join("; ")))?;
        let name = "100 stores × 100 keys: start beyond the token's own search";
        at_most(name, median(beyond), "s", START_S)
    }
}

impl Subject {
    /// Encrypts with each of the keys. The number of requests does not depend on the number of keys, so this program reads the same amount.
    fn prepare(
        name: &'static str,
        running: &Running,
        asked: &Document,
        rate: u32,
    ) -> Outcome<Self> {
        let mut callers = Vec::new();
        for store in &asked.stores {
            for key in &store.keys {
                callers.push(store.caller(&key.id)?);
            }
        }
        let proxy = running.seen_by(callers.first().ok_or("no key")?.clone())?;
        let mut requests = Vec::new();
        for number in 0..STORES * KEYS {
            let caller = callers.get(number * STRIDE % callers.len());
            let caller = caller.ok_or("no key")?.clone();
            requests.push(encrypt_request(&proxy.seen_by(caller))?);
        }
        Ok(Self {
            name,
            plan: Plan {
                turn: TURN,
                ..Plan::signed(rate, requests)
            },
            phase: Duration::from_secs(asked.scene.seconds),
            idle: idle(&proxy)?,
            proxy,
            own: Vec::new(),
            device: Vec::new(),
            failed: 0,
        })
    }

    /// Runs a round of load, and records the CPU time per request.
    fn measure(&mut self) -> Outcome<()> {
        let (start, load) = (Instant::now(), Load::follow(&self.proxy, &self.plan)?);
        let before = self.proxy.cpu_time()?;
        thread::sleep(self.phase);
        let log = load.stop()?;
        let after = self.proxy.cpu_time()?;
        if log.failed() > 0 {
            log.explain(start)?;
        }
        self.failed += log.failed();
        let requests = log.samples.len().max(1) as f64;
        let (own, device) = (after.own - before.own, after.device - before.device);
        let idle = self.idle * self.phase.as_secs_f64();
        self.own.push((micros(own) - idle) / requests);
        self.device.push(micros(device) / requests);
        Ok(())
    }

    /// Returns the CPU time per request in all threads.
    fn total(&self) -> Vec<f64> {
        let rounds = self.own.iter().zip(&self.device);
        rounds.map(|(own, device)| own + device).collect()
    }

    fn describe(&self) -> Outcome<()> {
        let (own, device) = (median(self.own.clone()), median(self.device.clone()));
        note(&format!(
            "CPU µs per Encrypt, {}: {own:.1} and in the HSM's threads {device:.1}; in all {:.0?}; idle {:.0} a second",
            self.name,
            self.total(),
            self.idle
        ))
    }
}

/// Returns the CPU µs per second of a proxy without requests.
fn idle(proxy: &Proxy) -> Outcome<f64> {
    let before = proxy.cpu_time()?;
    thread::sleep(IDLE);
    let after = proxy.cpu_time()?;
    let worked = after.own + after.device - before.own - before.device;
    Ok(micros(worked) / IDLE.as_secs_f64())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Returns the median ratio over the rounds.
fn ratio(ours: &[f64], others: &[f64]) -> f64 {
    let pairs = ours.iter().zip(others);
    median(pairs.map(|(ours, others)| ours / others).collect())
}

fn report_costs(scene: &Scene, subjects: &[Subject; 3]) -> Outcome<()> {
    subjects.iter().try_for_each(Subject::describe)?;
    let device = Costs::measure_token(scene, STORES * KEYS)?;
    let (of_one, of_all) = (device.one, device.all);
    note(&format!(
        "CPU µs of the library alone, one key: {of_one:.1}, all keys: {of_all:.1}"
    ))?;
    let [one, same, all] = subjects;
    note(&format!(
        "all keys asked ÷ 1 × 1: all threads {:.2}, the HSM's {:.2}. A key that was not used just now costs the library more, \
         with or without a proxy",
        ratio(&all.total(), &one.total()),
        ratio(&all.device, &one.device)
    ))?;
    let name = "100 × 100 ÷ 1 × 1: CPU of an Encrypt, one key used";
    at_most(name, ratio(&same.total(), &one.total()), "", MORE)?;
    let name = "100 × 100 ÷ 1 × 1: CPU without the library, all keys used";
    at_most(name, ratio(&all.own, &one.own), "", MORE)?;
    let failed: usize = subjects.iter().map(|subject| subject.failed).sum();
    at_most("100 × 100: failed requests", failed as f64, "", 0.0)
}

/// Returns the configuration with one key only.
fn first_key(document: &Document) -> Document {
    let mut first = document.clone();
    first.stores.truncate(1);
    first
        .stores
        .iter_mut()
        .for_each(|store| store.keys.truncate(1));
    first
}

/// Returns the label of a key in the token, which is also its id.
fn label(store: usize, key: usize) -> String {
    format!("k-{:04}", store * KEYS + key + 1)
}
