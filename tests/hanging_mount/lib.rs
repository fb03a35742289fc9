//! A preloaded library that simulates a file server without answers, for tests.
//!
//! `open64` and `statx` hang for paths below the directory `XKS_TEST_MOUNT`, as long as the file `XKS_TEST_MOUNT_HANGS` exists.
//!
//! *Invariant*: without this file, the library only makes the system calls.

#![expect(unsafe_code, reason = "replaces symbols of the C library")]

use std::ffi::{CStr, OsStr, c_char, c_int, c_uint};
use std::os::fd::{BorrowedFd, IntoRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags};

/// The interval between two checks of the file.
const POLL: Duration = Duration::from_millis(5);

/// Replaces `open64(3)`. As in the C library, the third argument is only valid if a file is created.
///
/// # Safety
/// As for the C function: `path` is a string.
// SAFETY: this library has no other symbol of this name, and replacing the C library's symbol is intended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the caller guarantees that it is a string.
    let path = unsafe { CStr::from_ptr(path) };
    hang(path);
    let flags = OFlags::from_bits_retain(flags.cast_unsigned());
    match rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(mode)) {
        Ok(file) => file.into_raw_fd(),
        Err(error) => failed(error),
    }
}

/// Replaces `statx(2)`.
///
/// # Safety
/// As for the system call: `path` is a string, `directory` is open or `AT_FDCWD`, and `found` is valid for a write.
// SAFETY: this library has no other symbol of this name, and replacing the C library's symbol is intended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statx(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mask: c_uint,
    found: *mut Statx,
) -> c_int {
    // Rust's standard library passes null pointers to test whether the system call exists.
    if path.is_null() || found.is_null() {
        return failed(rustix::io::Errno::FAULT);
    }
    // SAFETY: the caller guarantees that it is a string.
    let path = unsafe { CStr::from_ptr(path) };
    hang(path);
    let (flags, mask) = (
        AtFlags::from_bits_retain(flags.cast_unsigned()),
        StatxFlags::from_bits_retain(mask),
    );
    // SAFETY: the caller guarantees that it is open or `AT_FDCWD`.
    let directory = unsafe { BorrowedFd::borrow_raw(directory) };
    match rustix::fs::statx(directory, path, flags, mask) {
        Ok(metadata) => {
            // SAFETY: the caller guarantees that `found` is valid for a write.
            unsafe { found.write(metadata) };
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
    // SAFETY: the C library returns a valid pointer to the error number of this thread.
    unsafe { *__errno_location() = error.raw_os_error() };
    -1
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}
