//! Workers that crash, end, hang or violate the protocol: requests do not fail, and no process or descriptor is left.

mod crashes;
mod ends;
mod front;
mod hanging;
mod load;
mod opening;
mod output;
mod upgrade;

use crate::harness::Proxy;
use crate::harness::metrics::eventually;
use crate::harness::process::{arguments, children, runs};

/// The running workers of an HSM.
fn workers_of(launcher: u32, hsm: &str) -> Vec<u32> {
    let is_worker = |process: &u32| {
        let words = arguments(*process);
        words.get(1).is_some_and(|word| word == "worker") && words.contains(&format!("--hsm={hsm}"))
    };
    children(launcher).into_iter().filter(is_worker).collect()
}

/// Waits until an HSM has exactly one worker, and returns it.
#[track_caller]
pub fn only_worker(proxy: &Proxy, hsm: &str) -> u32 {
    eventually("one worker", || {
        match workers_of(proxy.daemon.id(), hsm).as_slice() {
            [worker] => Some(*worker),
            _ => None,
        }
    })
}

/// Waits until a new worker serves the HSM, and returns it.
#[track_caller]
pub fn successor(proxy: &Proxy, hsm: &str, former: u32) -> u32 {
    eventually("the end of the former worker", || {
        (!runs(former)).then_some(())
    });
    proxy.await_metric("xks_hsm_usable", &[("hsm", hsm)], |usable| usable == 1.0);
    let worker = only_worker(proxy, hsm);
    assert_ne!(worker, former);
    worker
}
