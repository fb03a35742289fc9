//! The worker of a case. The name of its HSM selects what it does.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, exit};

use super::{PATIENCE, STATE};
use crate::hsm_protocol::launch::launched::take_channel;
use crate::hsm_protocol::launch::{
    Frame as _, LoginOutcome, MAX_FRAME, PinFingerprint, Serial, SettingsBytes, WorkerMessage,
    WorkerRequest,
};
use crate::hsm_protocol::packet::{Packet, Wait, receive, send};

/// Runs the worker of this process.
pub(super) fn run() -> ! {
    let channel = take_channel().unwrap();
    let hsm = env::args().find_map(|word| Some(word.strip_prefix("hsm=")?.to_owned()));
    let is_last_good = env::args().any(|word| word == "settings=LastGood");
    match hsm.unwrap().as_str() {
        "forking" => fork(true),
        "leaving" => fork(false),
        "staying" => {
            println!("\nprocess {}\nready", std::process::id());
            io::stdout().flush().unwrap();
        }
        "echo" => echo(&channel),
        "settings" => report_settings(&channel, is_last_good),
        "login-crash" => log_in(&channel, None),
        "login-report" => log_in(&channel, Some(LoginOutcome::Rejected(0xa0))),
        "login-good" => log_in(&channel, Some(LoginOutcome::LoggedIn)),
        "nonsense" => send(&channel, b"nonsense", &[], Wait::Yes).unwrap(),
        "parts-twice" => send_after_parts(&channel, &WorkerRequest::Parts),
        "late-settings" => send_after_parts(&channel, &WorkerRequest::Settings(settings())),
        "sends-descriptors" => {
            let stdin = io::stdin();
            let frame = WorkerRequest::LastGood.encode();
            send(&channel, &frame, &[stdin.as_fd()], Wait::Yes).unwrap();
        }
        "flood" => loop {
            // The worker never reads the answers.
            drop(send(
                &channel,
                &WorkerRequest::LastGood.encode(),
                &[],
                Wait::Yes,
            ));
        },
        other => panic!("{other}"),
    }
    std::thread::sleep(4 * PATIENCE);
    exit(99);
}

/// Sends a request that is not allowed after the worker has its parts.
fn send_after_parts(channel: &OwnedFd, request: &WorkerRequest) {
    ask(channel, &WorkerRequest::Settings(settings()));
    drop(parts(channel));
    drop(send(channel, &request.encode(), &[], Wait::Yes));
}

fn ask(channel: &OwnedFd, request: &WorkerRequest) -> (WorkerMessage, Packet) {
    send(channel, &request.encode(), &[], Wait::Yes).unwrap();
    let packet = receive(channel, MAX_FRAME, Wait::Yes).unwrap().unwrap();
    (WorkerMessage::decode(&packet.bytes).unwrap(), packet)
}

/// Settings that differ from worker to worker.
fn settings() -> SettingsBytes {
    SettingsBytes::new(std::process::id().to_string().into_bytes()).unwrap()
}

/// The parts of a worker: the control channel and the sessions.
fn parts(channel: &OwnedFd) -> Vec<OwnedFd> {
    let (message, packet) = ask(channel, &WorkerRequest::Parts);
    let WorkerMessage::Parts { sessions, .. } = message else {
        panic!("{message:?}");
    };
    let mut descriptors = packet.descriptors;
    while descriptors.len() < usize::from(sessions) + 1 {
        let more = receive(channel, MAX_FRAME, Wait::Yes).unwrap().unwrap();
        descriptors.extend(more.descriptors);
    }
    descriptors
}

#[expect(clippy::zombie_processes, reason = "the launcher has to end it")]
fn fork(stays: bool) {
    let child = Command::new("sleep").arg("600").spawn().unwrap();
    println!(
        "\nprocess {}\nprocess {}\nready",
        std::process::id(),
        child.id()
    );
    io::stdout().flush().unwrap();
    if !stays {
        exit(3);
    }
}

fn echo(channel: &OwnedFd) {
    ask(channel, &WorkerRequest::Settings(settings()));
    let parts = parts(channel);
    for (number, session) in parts.iter().skip(1).enumerate() {
        // In the case with few descriptors, the front sends nothing.
        if parts.len() > 2 {
            let packet = receive(session, 100, Wait::Yes).unwrap().unwrap();
            let sent = usize::from_le_bytes(packet.bytes.try_into().unwrap());
            let answer = format!("{sent} on {number}");
            send(session, answer.as_bytes(), &[], Wait::Yes).unwrap();
        }
    }
    send(&parts[0], b"control", &[], Wait::Yes).unwrap();
    drop(receive(&parts[0], 100, Wait::Yes));
    exit(0);
}

/// Logs in, if permitted, then reports the outcome or crashes. A file stands for the token.
fn log_in(channel: &OwnedFd, outcome: Option<LoginOutcome>) {
    ask(
        channel,
        &WorkerRequest::Settings(SettingsBytes::new(Vec::new()).unwrap()),
    );
    drop(parts(channel));
    let request = WorkerRequest::LoginBegins {
        serial: Serial([1; 16]),
        pin: PinFingerprint([2; 32]),
    };
    if ask(channel, &request).0 != WorkerMessage::LoginAllowed {
        exit(5);
    }
    let token = env::var_os(STATE)
        .map(PathBuf::from)
        .unwrap()
        .join("attempts");
    let mut token = OpenOptions::new()
        .append(true)
        .create(true)
        .open(token)
        .unwrap();
    writeln!(token, "wrong").unwrap();
    let Some(outcome) = outcome else {
        exit(4);
    };
    send(
        channel,
        &WorkerRequest::LoginEnded(outcome).encode(),
        &[],
        Wait::Yes,
    )
    .unwrap();
    // At once, so that the launcher receives the report and the end together.
    exit(6);
}

fn report_settings(channel: &OwnedFd, is_last_good: bool) {
    if is_last_good {
        let (message, _) = ask(channel, &WorkerRequest::LastGood);
        if message == WorkerMessage::LastGood(None) {
            exit(78);
        }
    } else {
        ask(channel, &WorkerRequest::Settings(settings()));
    }
    let (message, packet) = ask(channel, &WorkerRequest::Parts);
    let WorkerMessage::Parts { settings, .. } = message else {
        panic!("{message:?}");
    };
    send(&packet.descriptors[0], settings.as_bytes(), &[], Wait::Yes).unwrap();
    drop(receive(&packet.descriptors[0], 100, Wait::Yes));
    exit(0);
}
