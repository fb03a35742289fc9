//! Rotation of credentials and keys in use: the steps of an operator, one after the other, under load.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::{Client, Failure, unreadable};
use crate::connection::Outcome;
use crate::document::{Document, Store};
use crate::figures::{at_least, at_most, note};
use crate::open_loop::Load;
use crate::running::Running;
use crate::scene::{Scene, Signer};
use crate::target::{Caller, Proxy};

/// The metric has a resolution of one second, and the old credential is used until the end.
const STALE_SLACK: f64 = 2.0;

/// The number of requests with a removed credential.
const FORMER: u64 = 10;

/// The environment and the rate of the load.
#[derive(Args)]
struct Stage {
    #[command(flatten)]
    scene: Scene,
    /// Requests per second.
    #[arg(long, default_value = "1000")]
    rate: u32,
}

/// The steps: the old credential only; both; the new one only.
#[derive(Args)]
pub struct CredentialRotation {
    #[command(flatten)]
    stage: Stage,
}

/// The steps: the first version only; both; the second version encrypts.
#[derive(Args)]
pub struct KeyRotation {
    #[command(flatten)]
    stage: Stage,
}

/// A running proxy, its configuration and its client.
struct Scenario {
    document: Document,
    running: Running,
    caller: Caller,
    proxy: Arc<Proxy>,
    phase: Duration,
}

impl CredentialRotation {
    /// Runs load from the first step to the last.
    pub fn run(&self) -> Outcome<()> {
        let scene = &self.stage.scene;
        let (old, new) = (scene.signer(0)?, scene.signer(1)?);
        let store = Store::with_one_key("bench", &old, "orders");
        let mut play = Scenario::begin(scene, "credentials", store)?;
        let (start, load) = (Instant::now(), Load::start(&play.proxy, self.stage.rate)?);
        play.wait();
        play.change(|store| store.signers.push(new.clone()))?;
        play.wait();
        play.proxy.sign_with(new.credentials.clone());
        play.wait();
        let idle = last_use(&play.proxy, &new)? - last_use(&play.proxy, &old)?;
        play.change(|store| drop(store.signers.remove(0)))?;
        play.wait();
        let log = load.stop()?;
        log.explain(start)?;
        let name = |figure: &str| format!("credential rotation: {figure}");
        at_least(&name("requests"), log.samples.len() as f64, "", 1.0)?;
        at_most(&name("failed requests"), log.failed() as f64, "", 0.0)?;
        let expected = play.phase.as_secs_f64() - STALE_SLACK;
        let figure = name("last use of the old one before that of the new one");
        at_least(&figure, idle, "s", expected.max(0.0))?;
        let former = play.running.seen_by(play.caller.clone())?;
        let served = FORMER - rejected(&former)?;
        let figure = name("requests with the removed one that succeeded");
        at_most(&figure, served as f64, "", 0.0)
    }
}

impl KeyRotation {
    /// Runs load from the first step to the last, then decrypts every ciphertext.
    pub fn run(&self) -> Outcome<()> {
        let scene = &self.stage.scene;
        let store = Store::with_one_key("bench", &scene.signer(0)?, "orders");
        let mut play = Scenario::begin(scene, "keys", store)?;
        let (start, load) = (Instant::now(), Load::start(&play.proxy, self.stage.rate)?);
        play.wait();
        play.change(|store| {
            let keys = store.keys.iter_mut();
            keys.for_each(|key| key.labels.push("orders-2".into()));
        })?;
        play.wait();
        play.change(|store| store.keys.iter_mut().for_each(|key| key.primary = 2))?;
        play.wait();
        let log = load.stop()?;
        log.explain(start)?;
        let name = |figure: &str| format!("key rotation: {figure}");
        at_least(&name("requests"), log.samples.len() as f64, "", 1.0)?;
        at_most(&name("failed requests"), log.failed() as f64, "", 0.0)?;
        let by_version = [1, 2].map(|version| encryptions(&play.proxy, version));
        for (count, version) in by_version.into_iter().zip(1..) {
            let figure = name(&format!("encryptions by version {version}"));
            at_least(&figure, count?, "", 1.0)?;
        }
        let lost = unreadable(&play.proxy, &log.ciphertexts)?;
        note(&format!("{} ciphertexts", log.ciphertexts.len()))?;
        let figure = name("ciphertexts that cannot be decrypted");
        at_most(&figure, lost as f64, "", 0.0)
    }
}

impl Scenario {
    fn begin(scene: &Scene, name: &str, store: Store) -> Outcome<Self> {
        let mut document = scene.document(name);
        let caller = store.caller("orders")?;
        document.stores.push(store);
        let running = Running::start(&document)?;
        Ok(Self {
            proxy: running.seen_by(caller.clone())?,
            document,
            running,
            caller,
            phase: Duration::from_secs(scene.seconds),
        })
    }

    fn wait(&self) {
        thread::sleep(self.phase);
    }

    /// Changes the store, and waits until the change is active. The proxy notices the file without a signal.
    fn change(&mut self, change: impl FnOnce(&mut Store)) -> Outcome<()> {
        self.document.stores.first_mut().map(change);
        self.running.change_to(&self.document, &self.proxy)
    }
}

fn last_use(proxy: &Proxy, signer: &Signer) -> Outcome<f64> {
    let label = format!("access_key_id=\"{}\"", signer.id);
    proxy.metric("xks_credential_last_used_timestamp_seconds", &[&label])
}

fn encryptions(proxy: &Proxy, version: u32) -> Outcome<f64> {
    let label = format!("version=\"{version}\"");
    proxy.metric("xks_key_encryptions_total", &[&label])
}

/// Returns the number of [`FORMER`] requests that fail because of their signature.
fn rejected(proxy: &Arc<Proxy>) -> Outcome<u64> {
    let mut client = Client::connect(proxy)?;
    let rejected = |number: &u64| {
        let answer = client.encrypt(*number);
        matches!(answer, Err(Failure::Wrong(what)) if what.starts_with("401 "))
    };
    Ok((0..FORMER).filter(rejected).count() as u64)
}
