//! The front of a case: checks what the launcher does. A failed check changes the exit code.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::exit;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::process::{await_end, children};
use super::{PATIENCE, processes};
use crate::hsm::{StartedWorker, Workers};
use crate::hsm_protocol::launch::launched::take_channel;
use crate::hsm_protocol::launch::{SettingsChoice, WorkerEnd};
use crate::hsm_protocol::packet::{Wait, receive, send};

/// Runs the front of this case.
pub(super) fn run(case: &str) -> ! {
    let channel = take_channel().unwrap();
    if case == "hostile front" {
        send(&channel, b"nonsense", &[], Wait::Yes).unwrap();
        std::thread::sleep(PATIENCE);
    }
    Runtime::new().unwrap().block_on(async {
        Workers::forward_signals(&channel).unwrap();
        let workers = Workers::connect(channel).unwrap();
        match case {
            "fork" => forks_are_killed(&workers, "forking", false).await,
            "fork and exit" => forks_are_killed(&workers, "leaving", true).await,
            "descriptors" => descriptors_arrive(&workers).await,
            "last good" => last_good_settings(&workers).await,
            "hostile worker" => hostile_worker(&workers).await,
            "few descriptors" => few_descriptors(&workers).await,
            "stay" => {
                println!("\nprocess {}", std::process::id());
                let mut workers = [
                    started(&workers, "staying", 1).await,
                    started(&workers, "staying", 1).await,
                    started(&workers, "staying", 1).await,
                ];
                workers.iter_mut().for_each(|worker| {
                    print_processes(worker);
                });
                println!("all run");
                // The front ignores the end of the channel: only the kernel can end it.
                std::thread::sleep(4 * PATIENCE);
            }
            "good logins" => good_logins(&workers).await,
            "logins" => wrong_pins(&workers).await,
            "dropped" => dropped_workers(&workers).await,
            "exit" => {
                let mut worker = started(&workers, "forking", 1).await;
                print_processes(&mut worker);
                exit(7);
            }
            other => panic!("{other}"),
        }
    });
    exit(0);
}

async fn started(workers: &Workers, hsm: &str, sessions: u16) -> StartedWorker {
    let started = workers.start(hsm, sessions, SettingsChoice::Current);
    started.await.unwrap()
}

/// Prints the process ids that a worker printed, until the line `ready`.
fn print_processes(worker: &mut StartedWorker) -> Vec<u32> {
    let output = worker.output.try_clone().unwrap();
    let lines = BufReader::new(File::from(output)).lines();
    let lines: Vec<_> = lines
        .map(Result::unwrap)
        .take_while(|line| !line.contains("ready"))
        .collect();
    for process in processes(&lines) {
        println!("process {process}");
    }
    io::stdout().flush().unwrap();
    processes(&lines)
}

async fn forks_are_killed(workers: &Workers, hsm: &str, exits: bool) {
    let mut worker = started(workers, hsm, 1).await;
    let processes = print_processes(&mut worker);
    assert_eq!(processes.len(), 2, "the worker and its child");
    if !exits {
        worker.process.kill();
    }
    let end = (&mut worker.end).await.unwrap();
    let expected = match exits {
        true => WorkerEnd::Exited(3),
        false => WorkerEnd::Killed(9),
    };
    assert_eq!(end, expected);
    processes.into_iter().for_each(await_end);
}

/// The start transfers more descriptors than fit into one packet, to both sides, in the right order.
async fn descriptors_arrive(workers: &Workers) {
    let worker = started(workers, "echo", 450).await;
    assert_eq!(worker.sessions.len(), 450);
    for (number, session) in worker.sessions.iter().enumerate() {
        send(session, &number.to_le_bytes(), &[], Wait::Yes).unwrap();
    }
    for (number, session) in worker.sessions.iter().enumerate() {
        let answer = receive(session, 100, Wait::Yes).unwrap().unwrap();
        let expected = format!("{number} on {number}");
        assert_eq!(String::from_utf8(answer.bytes).unwrap(), expected);
    }
    let answer = receive(&worker.control, 100, Wait::Yes).unwrap().unwrap();
    assert_eq!(answer.bytes, b"control");
    drop(worker.control);
    assert_eq!(worker.end.await.unwrap(), WorkerEnd::Exited(0));
}

async fn last_good_settings(workers: &Workers) {
    let ask = async |choice| {
        let worker = workers.start("settings", 1, choice).await.unwrap();
        let received = receive(&worker.control, 100, Wait::Yes).unwrap();
        (received.map(|packet| packet.bytes), worker)
    };
    let (received, none) = ask(SettingsChoice::LastGood).await;
    assert_eq!(received, None, "no settings were kept yet");
    assert_eq!(none.end.await.unwrap(), WorkerEnd::Exited(78));
    let (received, good) = ask(SettingsChoice::Current).await;
    let settings = received.unwrap();
    good.process.good();
    let (received, last) = ask(SettingsChoice::LastGood).await;
    assert_eq!(
        received.unwrap(),
        settings,
        "the settings of the worker that served"
    );
    let (received, _worse) = ask(SettingsChoice::Current).await;
    assert_ne!(received.unwrap(), settings);
    drop((good, last));
    let (received, _again) = ask(SettingsChoice::LastGood).await;
    assert_eq!(received.unwrap(), settings, "only one worker has served");
}

/// Two HSMs of one token log in alternately with a wrong PIN.
async fn wrong_pins(workers: &Workers) {
    for round in 0..10 {
        let hsm = ["login-crash", "login-report"][round % 2];
        let worker = started(workers, hsm, 1).await;
        let end = worker.end.await.unwrap();
        let rejected = WorkerEnd::Exited(5);
        let expected = [WorkerEnd::Exited(4), WorkerEnd::Exited(6), rejected];
        assert!(expected.contains(&end), "{hsm}: {end}");
        assert!(round < 2 || end == rejected, "{hsm}: {end}");
    }
}

async fn good_logins(workers: &Workers) {
    for _ in 0..30 {
        let worker = started(workers, "login-good", 1).await;
        assert_eq!(worker.end.await.unwrap(), WorkerEnd::Exited(6));
    }
}

async fn hostile_worker(workers: &Workers) {
    for hsm in [
        "nonsense",
        "parts-twice",
        "late-settings",
        "sends-descriptors",
    ] {
        let worker = started(workers, hsm, 1).await;
        assert_eq!(worker.end.await.unwrap(), WorkerEnd::Killed(9), "{hsm}");
    }
    let worker = started(workers, "flood", 1).await;
    let other = started(workers, "echo", 1).await;
    let answer = receive(&other.control, 100, Wait::Yes).unwrap().unwrap();
    assert_eq!(
        answer.bytes, b"control",
        "one worker does not stop the others"
    );
    drop(worker);
}

async fn few_descriptors(workers: &Workers) {
    let failed = workers.start("echo", 100, SettingsChoice::Current).await;
    let error = failed.unwrap_err().to_string();
    assert!(error.contains("Too many open files"), "{error}");
    let worker = started(workers, "echo", 1).await;
    let answer = receive(&worker.control, 100, Wait::Yes).unwrap().unwrap();
    assert_eq!(answer.bytes, b"control");
}

/// Workers that are dropped, also while they are being started, are killed.
async fn dropped_workers(workers: &Workers) {
    let mut worker = started(workers, "forking", 1).await;
    let processes = print_processes(&mut worker);
    drop(worker);
    processes.into_iter().for_each(await_end);
    for _ in 0..20 {
        let start = workers.start("forking", 1, SettingsChoice::Current);
        drop(tokio::time::timeout(Duration::ZERO, start).await);
    }
    // The launcher answers in order: the others have been started and killed when this one runs.
    let _last = started(workers, "echo", 1).await;
    let launcher = rustix::process::getppid().unwrap().as_raw_pid() as u32;
    let give_up = Instant::now() + PATIENCE;
    while children(launcher) > 2 {
        assert!(Instant::now() < give_up, "dropped workers still run");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
