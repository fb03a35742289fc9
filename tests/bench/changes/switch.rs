//! Disabling a store or a key: the configuration disables it, and the next requests are rejected.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::{Client, encrypt_request, error_name};
use crate::connection::{Answer, Outcome};
use crate::document::{Document, Store};
use crate::figures::{at_most, note, quantile};
use crate::open_loop::Load;
use crate::running::Running;
use crate::scene::Scene;
use crate::target::Proxy;

/// The timeout until a change must be active.
const PATIENCE: Duration = Duration::from_secs(5);

/// The target, from the change of the file.
const TARGET_MS: f64 = 1_000.0;

/// The requests per second to another store at the same time.
const BESIDE: u32 = 100;

/// The interval at which the proxy checks its files. Each change comes at a different time within it.
const LOOK_EVERY_MS: u64 = 100;

/// The environment, and the number of changes.
#[derive(Args)]
pub struct Switch {
    #[command(flatten)]
    scene: Scene,
    /// The number of changes of each type.
    #[arg(long, default_value = "50")]
    tries: u64,
}

/// A client that sends requests all the time on one connection, and the configuration.
struct Bench {
    document: Document,
    running: Running,
    proxy: Arc<Proxy>,
    client: Client,
}

/// The way in which the proxy notices a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    File,
    Signal,
}

impl Switch {
    /// Disables and enables repeatedly, by file and by signal.
    pub fn run(&self) -> Outcome<()> {
        let (mut bench, other) = Bench::prepare(&self.scene)?;
        let (start, beside) = (Instant::now(), Load::start(&other, BESIDE)?);
        for (by, way) in [(By::File, "file replaced"), (By::Signal, "and SIGHUP")] {
            self.measure(&mut bench, by, way)?;
        }
        let beside = beside.stop()?;
        beside.explain(start)?;
        let name = "disabled: failed requests to another store at the same time";
        at_most(name, beside.failed() as f64, "", 0.0)
    }

    fn measure(&self, bench: &mut Bench, by: By, way: &str) -> Outcome<()> {
        let (mut off, mut on) = (Vec::new(), Vec::new());
        for number in 0..self.tries {
            // Stores and keys alternately.
            let is_store = number.is_multiple_of(2);
            thread::sleep(Duration::from_millis(number * 37 % LOOK_EVERY_MS));
            off.push(bench.switch(is_store, false, by)?);
            thread::sleep(Duration::from_millis(number * 53 % LOOK_EVERY_MS));
            on.push(bench.switch(is_store, true, by)?);
        }
        let p50 = quantile(off.iter().copied(), 0.5);
        note(&format!("{way}: {} times, p50 {p50:.1} ms", self.tries))?;
        let name = format!("disabled, {way}: first rejection after, p99");
        at_most(&name, quantile(off, 0.99), "ms", TARGET_MS)?;
        let name = format!("enabled again, {way}: first response after, p99");
        at_most(&name, quantile(on, 0.99), "ms", TARGET_MS)
    }
}

impl Bench {
    fn prepare(scene: &Scene) -> Outcome<(Self, Arc<Proxy>)> {
        let mut document = scene.document("switch");
        for (number, (name, key)) in [("bench", "orders"), ("other", "payments")]
            .into_iter()
            .enumerate()
        {
            let store = Store::with_one_key(name, &scene.signer(number)?, key);
            document.stores.push(store);
        }
        let running = Running::start(&document)?;
        let [ours, others] = document.stores.as_slice() else {
            return Err("there are two stores".into());
        };
        let proxy = running.seen_by(ours.caller("orders")?)?;
        let other = running.seen_by(others.caller("payments")?)?;
        let client = Client::connect(&proxy)?;
        let bench = Self {
            document,
            running,
            proxy,
            client,
        };
        Ok((bench, other))
    }

    /// Changes the state, and sends requests until a response shows it.
    fn switch(&mut self, is_store: bool, on: bool, by: By) -> Outcome<Duration> {
        let request = encrypt_request(&self.proxy)?;
        if is_on(&self.client.send(&request)?)? == on {
            return Err("the state was already set".into());
        }
        let store = self.document.stores.first_mut().ok_or("no store")?;
        match is_store {
            true => store.is_enabled = on,
            false => store.keys.iter_mut().for_each(|key| key.is_enabled = on),
        }
        self.document.write()?;
        let start = Instant::now();
        if by == By::Signal {
            self.running.hang_up()?;
        }
        while is_on(&self.client.send(&request)?)? != on {
            if start.elapsed() >= PATIENCE {
                return Err("the change was not noticed".into());
            }
        }
        Ok(start.elapsed())
    }
}

/// Returns whether the request succeeded. Any response except a success or the rejection of a disabled store or key is an error.
fn is_on(answer: &Answer) -> Outcome<bool> {
    match (answer.status, &*error_name(answer)) {
        (200, _) => Ok(true),
        (400, "InvalidStateException") => Ok(false),
        (status, name) => Err(format!("neither a success nor disabled: {status} {name}").into()),
    }
}
