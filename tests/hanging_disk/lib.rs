//! A preloaded library that simulates a disk that hangs, is slow or fails, for tests.
//!
//! `fdatasync` hangs while the file that `XKS_TEST_HANG` names exists and is empty. If the file contains a number, each call takes that
//! many milliseconds longer. `fdatasync` fails while the file that `XKS_TEST_FAIL` names exists.
//!
//! *Invariant*: without these files, the library only makes the system call.

#![expect(unsafe_code, reason = "replaces a symbol of the C library")]

use std::ffi::c_int;
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The interval between two checks of the file.
const POLL: Duration = Duration::from_millis(5);

/// Waits as long as the file requires.
fn wait(file: &Path) {
    while let Ok(text) = fs::read_to_string(file) {
        match text.trim().parse() {
            Ok(milliseconds) => return thread::sleep(Duration::from_millis(milliseconds)),
            Err(_) => thread::sleep(POLL),
        }
    }
}

/// Replaces `fdatasync(2)`.
// SAFETY: this library has no other symbol of this name, and replacing the C library's symbol is intended.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    if let Some(file) = std::env::var_os("XKS_TEST_HANG") {
        wait(Path::new(&file));
    }
    if std::env::var_os("XKS_TEST_FAIL").is_some_and(|file| Path::new(&file).exists()) {
        return -1;
    }
    // SAFETY: the caller keeps the descriptor open during the call, as for the system call.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    // Makes the system call; does not call this function again.
    match rustix::fs::fdatasync(descriptor) {
        Ok(()) => 0,
        Err(_) => -1,
    }
}
