//! A running proxy for a configuration. It ends when the value is dropped.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::connection::Outcome;
use crate::document::Document;
use crate::figures::note;
use crate::target::{Caller, Proxy, moment};

/// The timeout of a start.
const PATIENCE: Duration = Duration::from_secs(120);

/// The interval of checks of the log for readiness.
const GLANCE: Duration = Duration::from_millis(2);

/// Longer than the proxy's own grace period.
const END: Duration = Duration::from_secs(15);

/// The timeout of a change of the configuration.
const RELOAD: Duration = Duration::from_secs(5);

/// A proxy.
pub struct Running {
    child: Child,
    directory: PathBuf,
    log: PathBuf,
    server: SocketAddr,
    admin: SocketAddr,
    /// The time from the start of the process until it was ready.
    pub ready_after: Duration,
}

impl Running {
    /// Writes the configuration, starts the proxy, and waits until it is ready.
    pub fn start(document: &Document) -> Outcome<Self> {
        document.write()?;
        let directory = document.scene.directory.clone();
        let log = directory.join(format!("{}.log", document.name));
        let output = File::create(&log)?;
        let start = Instant::now();
        let mut child = Command::new(&document.scene.proxy)
            .args(["serve", "--config"])
            .arg(document.file())
            .stderr(output.try_clone()?)
            .stdout(output)
            .spawn()?;
        note_process(&directory, child.id())?;
        wait_until_ready(&mut child, &log)?;
        let ready_after = start.elapsed();
        Ok(Self {
            child,
            directory,
            server: address_of(&log, "server")?,
            admin: address_of(&log, "admin")?,
            log,
            ready_after,
        })
    }

    /// Returns the proxy as the target of this client.
    pub fn seen_by(&self, caller: Caller) -> Outcome<Arc<Proxy>> {
        let (ca, pid) = (self.directory.join("ca.pem"), self.child.id());
        let proxy = Proxy::open(self.server, &ca, self.admin, pid, caller)?;
        Ok(Arc::new(proxy))
    }

    /// Returns the path of the log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends SIGHUP: the proxy reloads its configuration.
    pub fn hang_up(&self) -> Outcome<()> {
        self.signal(Signal::HUP)
    }

    /// Writes a configuration, and waits until it is active.
    pub fn change_to(&self, document: &Document, proxy: &Proxy) -> Outcome<()> {
        let before = applied(proxy)?;
        document.write()?;
        match moment(RELOAD, || Ok(applied(proxy)? > before))? {
            Some(_) => Ok(()),
            None => Err("a changed configuration was not applied".into()),
        }
    }

    fn signal(&self, signal: Signal) -> Outcome<()> {
        let pid = Pid::from_raw(self.child.id().try_into()?).ok_or("no process")?;
        Ok(kill_process(pid, signal)?)
    }

    fn end(&mut self) -> Outcome<()> {
        self.signal(Signal::TERM)?;
        let start = Instant::now();
        while start.elapsed() < END {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(GLANCE);
        }
        note("the proxy did not stop within 15 s and was killed")?;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The script ends a process that is not ended here.
        drop(self.end());
    }
}

/// Returns the number of applied configurations.
pub fn applied(proxy: &Proxy) -> Outcome<f64> {
    reloads(proxy, "applied")
}

/// Returns the number of reloads with this outcome.
pub fn reloads(proxy: &Proxy, outcome: &str) -> Outcome<f64> {
    let label = format!("outcome=\"{outcome}\"");
    proxy.metric("xks_config_reloads_total", &[&label])
}

/// Writes the process id for the script, which ends the process if this program dies.
fn note_process(directory: &Path, pid: u32) -> Outcome<()> {
    let list = OpenOptions::new()
        .append(true)
        .create(true)
        .open(directory.join("processes"));
    Ok(writeln!(list?, "{pid}")?)
}

fn wait_until_ready(child: &mut Child, log: &Path) -> Outcome<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE && child.try_wait()?.is_none() {
        if fs::read_to_string(log)?.contains("\"message\":\"ready\"") {
            return Ok(());
        }
        thread::sleep(GLANCE);
    }
    child.kill()?;
    let log = fs::read_to_string(log)?;
    Err(format!("the proxy did not become ready; its log:\n{log}").into())
}

fn address_of(log: &Path, listener: &str) -> Outcome<SocketAddr> {
    let log = fs::read_to_string(log)?;
    let mut lines = log.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let is_it = line.get("listener")?.as_str()? == listener;
        let address = line.get("address")?.as_str()?.parse().ok();
        address.filter(|_| is_it)
    });
    let found = lines.next();
    found.ok_or_else(|| format!("the log names no {listener} listener").into())
}
