//! A clock that fails once, for tests: preloaded into a process, `clock_gettime` fails in the thread and for the clock that the file
//! `XKS_TEST_CLOCK` names (`NAME CLOCK`, such as `xks-config 1`), once for each such file. It removes the file, unless a sandbox forbids
//! that. The Rust standard library answers with a panic: so a test provokes a panic in any thread of the real program, which has no code
//! for it.
//!
//! *Invariant*: without that file, it is the system's own clock and nothing else.

#![expect(
    unsafe_code,
    reason = "the symbol by which the C library's own is covered"
)]

use std::ffi::c_int;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime as system_clock};

/// `struct timespec` of the C library.
#[repr(C)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

/// Covers `clock_gettime(2)`.
///
/// # Safety
/// As for the system's own: `time` can be written.
// SAFETY: no other symbol of this name is in this library; the C library's is meant to be covered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int {
    if is_to_fail(clock) {
        return -1;
    }
    let clock = match clock {
        0 => ClockId::Realtime,
        2 => ClockId::ProcessCPUTime,
        3 => ClockId::ThreadCPUTime,
        4 => ClockId::MonotonicRaw,
        5 => ClockId::RealtimeCoarse,
        6 => ClockId::MonotonicCoarse,
        7 => ClockId::Boottime,
        _ => ClockId::Monotonic,
    };
    let now = system_clock(clock);
    let now = Timespec {
        seconds: now.tv_sec,
        nanoseconds: now.tv_nsec,
    };
    // SAFETY: the caller promises that it can be written.
    unsafe { time.write(now) };
    0
}

fn is_to_fail(clock: c_int) -> bool {
    let Some(file) = std::env::var_os("XKS_TEST_CLOCK") else {
        return false;
    };
    let Ok(wanted) = std::fs::read_to_string(&file) else {
        return false;
    };
    let name = rustix::thread::name();
    let is_it = name.is_ok_and(|name| wanted == format!("{} {clock}", name.to_string_lossy()));
    is_it && is_first(file.as_ref())
}

/// The order that was carried out last: when its file was written, in nanoseconds.
static DONE: AtomicI64 = AtomicI64::new(0);

/// Of several threads of this name, one.
fn is_first(file: &std::path::Path) -> bool {
    let Ok(order) = std::fs::metadata(file) else {
        return false;
    };
    let order = order.mtime().wrapping_mul(1_000_000_000) + order.mtime_nsec();
    let is_first = DONE.swap(order, Ordering::SeqCst) != order;
    if is_first {
        drop(std::fs::remove_file(file));
    }
    is_first
}
