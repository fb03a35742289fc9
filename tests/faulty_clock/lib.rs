//! A preloaded library whose `clock_gettime` fails once, for tests.
//!
//! The file that `XKS_TEST_CLOCK` names contains a thread name and a clock number, for example `xks-config 1`. In this thread, the next
//! call for this clock fails, once per file. The library then removes the file, unless a sandbox forbids it. The Rust standard library
//! panics after such a failure. Thus a test can cause a panic in any thread of the unchanged program.
//!
//! *Invariant*: without this file, the library only calls the system clock.

#![expect(unsafe_code, reason = "replaces a symbol of the C library")]

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

/// Replaces `clock_gettime(2)`.
///
/// # Safety
/// As for the system call: `time` is valid for a write.
// SAFETY: this library has no other symbol of this name, and replacing the C library's symbol is intended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int {
    if must_fail(clock) {
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
    // SAFETY: the caller guarantees that `time` is valid for a write.
    unsafe { time.write(now) };
    0
}

fn must_fail(clock: c_int) -> bool {
    let Some(file) = std::env::var_os("XKS_TEST_CLOCK") else {
        return false;
    };
    let Ok(wanted) = std::fs::read_to_string(&file) else {
        return false;
    };
    let name = rustix::thread::name();
    let matches = name.is_ok_and(|name| wanted == format!("{} {clock}", name.to_string_lossy()));
    matches && is_first(file.as_ref())
}

/// The modification time of the last file that was handled, in nanoseconds.
static DONE: AtomicI64 = AtomicI64::new(0);

/// Removes the file. Returns whether this thread is the first one to handle it.
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
