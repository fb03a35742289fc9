//! A disk that hangs or fails, for tests: preloaded into a process, `fdatasync` does not return while the file that `XKS_TEST_HANG` names
//! exists, and fails while the file that `XKS_TEST_FAIL` names exists.
//!
//! *Invariant*: without these files, it is the system's own call and nothing else.

#![expect(
    unsafe_code,
    reason = "the symbol by which the C library's own is covered"
)]

use std::ffi::c_int;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How soon the disk notices that it works again.
const POLL: Duration = Duration::from_millis(5);

/// Covers `fdatasync(2)`.
// SAFETY: no other symbol of this name is in this library; the C library's is meant to be covered.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    if let Some(file) = std::env::var_os("XKS_TEST_HANG") {
        while Path::new(&file).exists() {
            thread::sleep(POLL);
        }
    }
    if std::env::var_os("XKS_TEST_FAIL").is_some_and(|file| Path::new(&file).exists()) {
        return -1;
    }
    // SAFETY: who calls has it open for the length of the call, as for the system's own.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    // The system call itself, not this function again.
    match rustix::fs::fdatasync(descriptor) {
        Ok(()) => 0,
        Err(_) => -1,
    }
}
