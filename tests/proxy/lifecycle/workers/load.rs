//! A load of requests during a test, all of which must succeed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::harness::load::Stop;
use crate::harness::wire::{bytes, decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

/// The results of the requests.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub done: AtomicUsize,
    pub failed: AtomicUsize,
}

/// Runs `test` while this number of connections encrypts and decrypts. A wrong plaintext fails the test at once. A failed request is counted
/// and printed with its time, so that the test shows all failures.
pub(super) fn under_load(proxy: &Proxy, connections: usize, test: impl FnOnce(&Tally)) -> Tally {
    let (stop, tally, began) = (AtomicBool::new(false), Tally::default(), Instant::now());
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for number in 0..connections {
            let (stop, tally) = (&stop, &tally);
            scope.spawn(move || {
                let plaintext = format!("kept by connection {number}");
                while !stop.load(Ordering::Relaxed) {
                    send(proxy, stop, tally, plaintext.as_bytes(), began);
                }
            });
        }
        test(&tally);
    });
    tally
}

/// Makes round trips on one connection until `stop` is set or one fails.
fn send(proxy: &Proxy, stop: &AtomicBool, tally: &Tally, plaintext: &[u8], began: Instant) {
    let payments = proxy.caller(&PAYMENTS);
    let mut connection = proxy.connect();
    let mut exchange = |operation: &str, body: String| {
        let response = connection.exchange(&payments.request(operation, "orders", body));
        match response.status {
            200 => {
                tally.done.fetch_add(1, Ordering::Relaxed);
                Some(response)
            }
            _ => {
                tally.failed.fetch_add(1, Ordering::Relaxed);
                eprintln!("failed after {:?}: {response:?}", began.elapsed());
                None
            }
        }
    };
    while !stop.load(Ordering::Relaxed) {
        let Some(sealed) = exchange("encrypt", encrypt_body(plaintext).to_string()) else {
            return;
        };
        let Some(opened) = exchange("decrypt", decrypt_body(&sealed.ok()).to_string()) else {
            return;
        };
        assert_eq!(bytes(&opened.ok(), "plaintext"), plaintext);
    }
}

impl Tally {
    /// Returns the number of requests that have succeeded.
    pub(super) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Asserts that there were requests and that all succeeded.
    #[track_caller]
    pub(super) fn assert_none_failed(&self) {
        let failed = self.failed.load(Ordering::Relaxed);
        assert_eq!(failed, 0, "of {} requests", self.done() + failed);
        assert!(self.done() > 100, "{self:?}");
    }
}
