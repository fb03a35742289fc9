//! Each case runs in a separate process: this test program, started again with the name of the case in an environment variable.

use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::*;

const CASE: &str = "XKS_TEST_PANIC";

/// A text that stands for input and must not be in the output.
const SECRET: &str = "hunter2";

/// The exit code of a case that finished.
const SURVIVED: i32 = 0;

fn forever() -> ! {
    loop {
        sleep(Duration::from_secs(1));
    }
}

/// Runs a case in a separate process. Returns the exit code and standard error.
fn outcome(case: &str) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sync::tests::a_case", "--nocapture"])
        .env(CASE, case)
        .output()
        .unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn a_case() {
    let Ok(case) = std::env::var(CASE) else {
        return;
    };
    install_panic_hook();
    match case.as_str() {
        "thread" => {
            thread("worker", || panic!("a literal")).unwrap();
            forever()
        }
        "formatted" => {
            thread("worker", || panic!("{SECRET:?}")).unwrap();
            forever()
        }
        "foreign thread" => {
            std::thread::spawn(|| panic!("a literal"));
            forever()
        }
        "task" => Runtime::new().unwrap().block_on(async {
            drop(essential_task("reload", async { panic!("a literal") }));
            std::future::pending::<()>().await;
        }),
        "essential thread" => {
            essential_thread("watcher", || End::Unexpected("no reload".into())).unwrap();
            forever()
        }
        "essential task" => Runtime::new().unwrap().block_on(async {
            drop(essential_task("reload", async {
                End::Unexpected("no reload".into())
            }));
            std::future::pending::<()>().await;
        }),
        "requested" => {
            let ended = essential_thread("watcher", || End::Requested).unwrap();
            ended.join().unwrap();
        }
        "lock" => {
            let lock = Arc::new(Mutex::new(0));
            let worker_lock = Arc::clone(&lock);
            let worked = contained(Scope::Request, move || {
                let _held = worker_lock.lock().unwrap();
                panic!("under a lock")
            });
            assert_eq!(worked, Err::<(), _>(Panicked));
            *lock.lock().unwrap_or_else(poisoned) = 1;
        }
        "contained" => Runtime::new().unwrap().block_on(async {
            for _ in 0..20 {
                let outcome = contained_future(Scope::Request, async {
                    tokio::task::yield_now().await;
                    panic!("a request")
                });
                assert_eq!(outcome.await, Err::<(), _>(Panicked));
            }
            isolated_task(Scope::Connection, async { panic!("a connection") })
                .await
                .unwrap();
            let counted = Scope::ALL.map(panics);
            assert_eq!(counted, [20, 1, 0]);
            // The scope ends with its work.
            assert_eq!(scope::current(), None);
        }),
        "panicking log" => {
            tracing_subscriber::registry().with(Stuck(false)).init();
            thread("worker", || panic!("a literal")).unwrap();
            forever()
        }
        "hanging log" => {
            tracing_subscriber::registry().with(Stuck(true)).init();
            thread("worker", || panic!("a literal")).unwrap();
            forever()
        }
        "hanging exit" => {
            tracing_subscriber::registry().init();
            set_last_action(|| forever());
            thread("worker", || panic!("a literal")).unwrap();
            forever()
        }
        other => panic!("no case {other}"),
    }
}

/// A log that hangs, or panics.
struct Stuck(bool);

impl<S: Subscriber> Layer<S> for Stuck {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        match self.0 {
            true => forever(),
            false => panic!("the log panics"),
        }
    }
}

#[test]
fn a_panic_or_an_unexpected_end_ends_the_process_with_70() {
    for (case, message) in [
        ("thread", "in thread worker: a literal"),
        ("foreign thread", "a literal"),
        ("task", "a literal"),
        ("essential thread", "watcher ended unexpectedly: no reload"),
        ("essential task", "reload ended unexpectedly: no reload"),
        ("lock", "a lock was held during a panic"),
        ("panicking log", "in thread xks-panic: the log panics"),
        ("hanging log", "in thread worker: a literal"),
        ("hanging exit", "in thread worker: a literal"),
    ] {
        let (code, stderr) = outcome(case);
        assert_eq!(code, Some(i32::from(INTERNAL_ERROR)), "{case}: {stderr}");
        assert!(stderr.contains(message), "{case}: {stderr}");
    }
}

#[test]
fn a_contained_panic_or_a_requested_end_does_not_end_the_process() {
    for case in ["contained", "requested"] {
        let (code, stderr) = outcome(case);
        assert_eq!(code, Some(SURVIVED), "{case}: {stderr}");
    }
}

#[test]
fn lines_of_contained_panics_are_limited() {
    let began = Instant::now();
    let (_, stderr) = outcome("contained");
    let lines = stderr.matches("panic at src/sync/tests.rs").count();
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 2;
    assert!((1..=5 * seconds).contains(&lines), "{stderr}");
}

#[test]
fn a_formatted_message_is_withheld() {
    let (code, stderr) = outcome("formatted");
    assert_eq!(code, Some(i32::from(INTERNAL_ERROR)));
    assert!(stderr.contains("panic at src/sync/tests.rs:"), "{stderr}");
    assert!(!stderr.contains(SECRET), "{stderr}");
}
