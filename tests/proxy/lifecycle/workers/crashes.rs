//! Workers that end under load, by a signal or by their library.
//!
//! Between two ends, requests are served for a random time of at least `STABLE`: an HSM that fails earlier is opened again only after a pause
//! (`src/hsm/supervisor.rs`, `STABLE_AFTER`).

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::load::{Tally, under_load};
use super::{only_worker, successor};
use crate::harness::control::{Control, Function, Misdeed};
use crate::harness::metrics::eventually;
use crate::harness::outage::{faulty_with, two_faulty};
use crate::harness::process::signal;
use crate::harness::setup::Setup;

/// The time after which a worker counts as stable.
const STABLE: Duration = Duration::from_millis(1_100);

/// How a worker ends.
#[derive(Clone, Copy, Debug)]
enum Death {
    Kill,
    By(Misdeed),
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Waits until requests have been served for a while.
fn serve_for(what: &str, tally: &Tally, least: Duration) {
    let (before, since) = (tally.done(), Instant::now());
    eventually(what, || {
        (since.elapsed() >= least && tally.done() > before + 10).then_some(())
    });
}

impl Death {
    /// Ends this worker.
    fn cause(self, worker: u32, device: &Control, random: &mut Random) {
        match self {
            Self::Kill => signal(worker, Signal::KILL),
            Self::By(misdeed) => {
                let functions = [
                    Function::EncryptInit,
                    Function::Encrypt,
                    Function::DecryptInit,
                    Function::Decrypt,
                ];
                let function = functions[random.below(4) as usize];
                device.commit_next(function, misdeed);
                eventually("the fault of the library", || {
                    (!device.is_to_commit(function)).then_some(())
                });
            }
        }
    }
}

/// Sets long timeouts: on a busy machine, a worker takes longer to open its token than KMS waits.
fn patient(setup: &mut Setup) {
    setup.set("server.limits", "request_timeout", "\"5s\"");
}

/// Ends the workers of the only HSM this many times.
fn one_hsm_survives(death: Death, times: usize) {
    let (proxy, device) = faulty_with(patient);
    let mut random = Random(times as u64);
    let mut worker = only_worker(&proxy, "hsm-a");
    let mut outages = Vec::new();
    let tally = under_load(&proxy, 4, |tally| {
        for _ in 0..times {
            let pause = Duration::from_millis(random.below(200));
            serve_for("requests before a death", tally, STABLE + pause);
            let began = Instant::now();
            death.cause(worker, &device, &mut random);
            worker = successor(&proxy, "hsm-a", worker);
            outages.push(began.elapsed().as_millis());
        }
        serve_for("requests after the last death", tally, Duration::ZERO);
    });
    eprintln!("{death:?}, one HSM: successor after {outages:?} ms");
    tally.assert_none_failed();
}

/// Ends the workers of two HSMs alternately, this many times. The next end follows as soon as the previous worker is replaced.
fn two_hsms_survive(death: Death, times: usize) {
    let (proxy, a, b) = two_faulty(patient);
    let mut random = Random(times as u64);
    let hsms = [("hsm-a", &a), ("hsm-b", &b)];
    let mut workers = hsms.map(|(hsm, _)| only_worker(&proxy, hsm));
    let tally = under_load(&proxy, 4, |tally| {
        for number in 0..times {
            let (hsm, device) = hsms[number % 2];
            // Two ends of the same HSM's workers are twice this time apart.
            let pause = STABLE / 2 + Duration::from_millis(random.below(200));
            serve_for("requests before a death", tally, pause);
            death.cause(workers[number % 2], device, &mut random);
            workers[number % 2] = successor(&proxy, hsm, workers[number % 2]);
        }
        serve_for("requests after the last death", tally, Duration::ZERO);
    });
    tally.assert_none_failed();
}

const TIMES: usize = 10;

#[test]
#[ignore = "load run; it needs a machine without other work"]
fn one_hsm_survives_sigkill() {
    one_hsm_survives(Death::Kill, TIMES);
}

#[test]
#[ignore = "load run; it needs a machine without other work"]
fn one_hsm_survives_a_segmentation_fault() {
    one_hsm_survives(Death::By(Misdeed::Segfault), TIMES);
}

#[test]
#[ignore = "load run; it needs a machine without other work"]
fn one_hsm_survives_abort() {
    one_hsm_survives(Death::By(Misdeed::Abort), TIMES);
}

#[test]
#[ignore = "load run; it needs a machine without other work"]
fn one_hsm_survives_an_exit_with_code_0() {
    one_hsm_survives(Death::By(Misdeed::Exit), TIMES);
}

#[test]
#[ignore = "load run; it needs a machine without other work"]
fn two_hsms_survive_sigkill() {
    two_hsms_survive(Death::Kill, TIMES);
}

#[test]
#[ignore = "load run; it needs a machine without other work"]
fn two_hsms_survive_a_segmentation_fault() {
    two_hsms_survive(Death::By(Misdeed::Segfault), TIMES);
}

#[test]
#[ignore = "load run; it needs a machine without other work"]
fn two_hsms_survive_abort() {
    two_hsms_survive(Death::By(Misdeed::Abort), TIMES);
}

#[test]
#[ignore = "load run; it needs a machine without other work"]
fn two_hsms_survive_an_exit_with_code_0() {
    two_hsms_survive(Death::By(Misdeed::Exit), TIMES);
}

#[test]
#[ignore = "800 ends of workers take a quarter of an hour"]
fn hsms_survive_a_hundred_deaths_of_each_kind() {
    let misdeeds = [Misdeed::Segfault, Misdeed::Abort, Misdeed::Exit];
    for death in [Death::Kill].into_iter().chain(misdeeds.map(Death::By)) {
        one_hsm_survives(death, 100);
        two_hsms_survive(death, 100);
    }
}

/// The log contains the exit status or the signal. While the HSM does not serve, the health answer contains the reason.
#[test]
fn the_log_contains_how_a_worker_ended() {
    let (proxy, device) = faulty_with(|_| {});
    let mut worker = only_worker(&proxy, "hsm-a");
    let ways = [
        (Death::Kill, "signal 9"),
        (Death::By(Misdeed::Segfault), "signal 11"),
        (Death::By(Misdeed::Abort), "signal 6"),
        (Death::By(Misdeed::Exit), "code 0"),
    ];
    for (death, expected) in ways {
        under_load(&proxy, 1, |_| death.cause(worker, &device, &mut Random(1)));
        proxy.daemon.wait_for(expected, |line| {
            let reason = line["reason"].as_str().unwrap_or_default();
            line["message"] == "the HSM failed; reopening it" && reason.contains(expected)
        });
        worker = successor(&proxy, "hsm-a", worker);
    }
    let unclear = |line: &String| line.contains("violated the protocol");
    assert!(!proxy.daemon.log().iter().any(unclear));
}
