//! Requests that go on beside a test, each of which must succeed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::harness::load::Stop;
use crate::harness::wire::{bytes, decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

/// What came of the requests.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub done: AtomicUsize,
    pub failed: AtomicUsize,
}

/// Runs `test` beside encryptions and decryptions on so many connections. Every answer that decrypts to something else fails the test at
/// once; a failure is counted and written, with its time since `began`, so that a test shows them all.
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

/// Round trips on one connection, until told to stop or until one fails.
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
    /// How many requests succeeded so far.
    pub(super) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Every request succeeded, and there were some.
    #[track_caller]
    pub(super) fn assert_none_failed(&self) {
        let failed = self.failed.load(Ordering::Relaxed);
        assert_eq!(failed, 0, "of {} requests", self.done() + failed);
        assert!(self.done() > 100, "{self:?}");
    }
}
