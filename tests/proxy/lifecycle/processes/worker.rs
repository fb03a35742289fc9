//! A worker process; the test acts as the launcher.

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use xks_proxy::hsm_protocol::launch::{
    Frame as _, MAX_FRAME, SettingsBytes, WorkerMessage, WorkerRequest,
};
use xks_proxy::hsm_protocol::packet::{self, Wait, pair, receive};

use crate::harness::metrics::eventually;
use crate::harness::process::{arguments, await_end, descriptors, runs, signal};
use crate::harness::setup::Setup;
use rustix::process::Signal;

/// A worker and the launcher's end of its channel.
struct Worker {
    child: Child,
    channel: OwnedFd,
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Worker {
    /// Starts the worker of an HSM. Its environment contains secrets of other processes.
    fn start(config: &Path, hsm: &str, more: &[&str]) -> Self {
        let (channel, of_worker) = pair().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
            .arg("worker")
            .arg("--config")
            .arg(config)
            .args(["--hsm", hsm])
            .args(more)
            .env("NOTIFY_SOCKET", "/run/systemd/notify")
            .env("SECRET_OF_A_STORE", "secret")
            .stdin(of_worker)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Self { child, channel }
    }

    fn request(&self) -> WorkerRequest {
        let packet = receive(&self.channel, MAX_FRAME, Wait::Yes).unwrap();
        WorkerRequest::decode(&packet.expect("a request").bytes).unwrap()
    }

    fn answer(&self, message: &WorkerMessage, descriptors: &[OwnedFd]) {
        let borrowed: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
        packet::send(&self.channel, &message.encode(), &borrowed, Wait::Yes).unwrap();
    }

    /// Answers the first stage: stores the settings, or sends the last good ones.
    fn prepare(&self, last_good: Option<&SettingsBytes>) -> SettingsBytes {
        match self.request() {
            WorkerRequest::Settings(settings) => {
                self.answer(&WorkerMessage::Stored, &[]);
                settings
            }
            WorkerRequest::LastGood => {
                let settings = last_good.cloned();
                self.answer(&WorkerMessage::LastGood(settings.clone()), &[]);
                settings.expect("last good settings")
            }
            other => panic!("{other:?}"),
        }
    }

    /// Sends the parts. Returns the other end of the control channel.
    fn hand_over(&self, settings: SettingsBytes, sessions: u16) -> OwnedFd {
        assert_eq!(self.request(), WorkerRequest::Parts);
        let (control, of_worker) = pair().unwrap();
        let mut parts = vec![of_worker];
        parts.extend((0..sessions).map(|_| pair().unwrap().1));
        let rest = parts.split_off(parts.len().min(200));
        self.answer(&WorkerMessage::Parts { settings, sessions }, &parts);
        if !rest.is_empty() {
            self.answer(&WorkerMessage::Descriptors, &rest);
        }
        control
    }

    fn error_output(&mut self) -> String {
        let mut text = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut text).unwrap();
        text
    }
}

fn written(directory: &Path) -> std::path::PathBuf {
    Setup::new(directory).write()
}

#[test]
fn a_worker_has_its_own_descriptors_and_environment_only() {
    let directory = tempfile::tempdir().unwrap();
    let config = written(directory.path());
    let mut worker = Worker::start(&config, "hsm-a", &[]);
    let settings = worker.prepare(None);
    let control = worker.hand_over(settings, 250);
    let process = worker.child.id();
    // Standard input, output and error, the channel to the launcher, the control channel and the sessions. Descriptors of the sandbox and of
    // the library's configuration are closed again.
    let all = eventually("only the parts of the worker", || {
        let all = descriptors(process);
        (all.len() == 3 + 1 + 1 + 250).then_some(all)
    });
    assert_eq!(all[0], (0, "/dev/null".to_owned()));
    let sockets = all
        .iter()
        .skip(3)
        .filter(|(_, target)| target.starts_with("socket:"));
    assert_eq!(sockets.count(), 252, "{all:?}");
    let environment = fs::read(format!("/proc/{process}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let names = environment
        .split('\0')
        .filter_map(|one| one.split_once('='));
    let names: Vec<_> = names.map(|(name, _)| name).collect();
    let is_own = |name: &&str| ["PATH", "SOFTHSM2_CONF"].contains(name);
    assert!(names.iter().all(is_own), "{names:?}");
    assert!(arguments(process).contains(&"--prepared".to_owned()));
    for harmless in [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1] {
        signal(process, harmless);
    }
    assert!(runs(process));
    drop(control);
    // The worker waits for permission to log in, which the test does not give, and ends when its sessions close.
    assert_eq!(worker.child.wait().unwrap().code(), Some(70));
}

#[test]
fn without_a_configuration_the_last_good_settings_are_used() {
    let directory = tempfile::tempdir().unwrap();
    let config = written(directory.path());
    let good = Worker::start(&config, "hsm-a", &[]).prepare(None);
    for (text, more) in [("nonsense = 1", &[][..]), ("", &[]), ("", &["--last-good"])] {
        fs::write(&config, text).unwrap();
        let worker = Worker::start(&config, "hsm-a", more);
        let settings = worker.prepare(Some(&good));
        let control = worker.hand_over(settings, 1);
        assert!(runs(worker.child.id()));
        drop(control);
    }
    let mut worker = Worker::start(&config, "hsm-a", &[]);
    assert_eq!(worker.request(), WorkerRequest::LastGood);
    worker.answer(&WorkerMessage::LastGood(None), &[]);
    assert_eq!(worker.child.wait().unwrap().code(), Some(78));
    let complaint = worker.error_output();
    assert!(
        complaint.contains("no settings for the HSM \"hsm-a\""),
        "{complaint}"
    );
}

/// The launcher has ended before the first instruction of the worker, so the worker has a different parent.
#[test]
fn a_worker_whose_launcher_has_ended_ends() {
    let directory = tempfile::tempdir().unwrap();
    let config = written(directory.path());
    // A shell starts the worker and ends at once. The redirections keep the channel, because a background process would get /dev/null.
    let (channel, of_worker) = pair().unwrap();
    let script =
        "exec 3<&0; \"$0\" worker --config \"$1\" --hsm hsm-a <&3 3<&- >/dev/null & echo $!";
    let shell = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_xks-proxy")])
        .arg(&config)
        .stdin(of_worker)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let process = String::from_utf8(shell.stdout).unwrap();
    await_end(process.trim().parse().unwrap());
    // The worker sent no request.
    assert!(receive(&channel, MAX_FRAME, Wait::Yes).unwrap().is_none());
}
