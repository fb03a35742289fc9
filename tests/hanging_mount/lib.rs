//! A file server that does not answer, for tests: preloaded into a process, opening and looking at files below the directory
//! `XKS_TEST_MOUNT` does not return as long as the file `XKS_TEST_MOUNT_HANGS` exists.
//!
//! *Invariant*: without that file, these are the system's own calls and nothing else.

#![expect(
    unsafe_code,
    reason = "the symbols by which the C library's own are covered"
)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_uint};
use std::os::fd::{BorrowedFd, IntoRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags};

/// How soon a call notices that the server answers again.
const POLL: Duration = Duration::from_millis(5);

/// Covers `open64(3)`. The third argument is there only for files that are made, as for the system's own.
///
/// # Safety
/// As for the system's own: `path` is a string.
// SAFETY: no other symbol of this name is in this library; the C library's is meant to be covered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the caller promises that it is a string.
    let path = unsafe { CStr::from_ptr(path) };
    hang(path);
    let flags = OFlags::from_bits_retain(flags.cast_unsigned());
    match rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(mode)) {
        Ok(file) => file.into_raw_fd(),
        Err(error) => failed(error),
    }
}

/// Covers `statx(2)`.
///
/// # Safety
/// As for the system's own: `path` is a string, `directory` is open or `AT_FDCWD`, and `found` can be written.
// SAFETY: no other symbol of this name is in this library; the C library's is meant to be covered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statx(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mask: c_uint,
    found: *mut Statx,
) -> c_int {
    // So Rust's standard library asks whether there is such a call.
    if path.is_null() || found.is_null() {
        return failed(rustix::io::Errno::FAULT);
    }
    // SAFETY: the caller promises that it is a string.
    let path = unsafe { CStr::from_ptr(path) };
    hang(path);
    let (flags, mask) = (
        AtFlags::from_bits_retain(flags.cast_unsigned()),
        StatxFlags::from_bits_retain(mask),
    );
    // SAFETY: the caller promises that it is open, or it is the value for the working directory.
    let directory = unsafe { BorrowedFd::borrow_raw(directory) };
    match rustix::fs::statx(directory, path, flags, mask) {
        Ok(looked) => {
            // SAFETY: the caller promises that it can be written.
            unsafe { found.write(looked) };
            0
        }
        Err(error) => failed(error),
    }
}

fn hang(path: &CStr) {
    let (Some(mount), Some(hangs)) = (
        std::env::var_os("XKS_TEST_MOUNT"),
        std::env::var_os("XKS_TEST_MOUNT_HANGS"),
    ) else {
        return;
    };
    if Path::new(OsStr::from_bytes(path.to_bytes())).starts_with(&mount) {
        while Path::new(&hangs).exists() {
            thread::sleep(POLL);
        }
    }
}

fn failed(error: rustix::io::Errno) -> c_int {
    // SAFETY: the C library's place for the number of this thread's last error.
    unsafe { *__errno_location() = error.raw_os_error() };
    -1
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}
