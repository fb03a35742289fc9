//! The descriptors that a process was started with, beyond standard input, output and error.
//!
//! The program that started the service may have left descriptors open. They must not reach a worker, in which a vendor's library runs.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd};

/// Sets CLOEXEC on each descriptor above 2. To be called before the process starts a thread.
///
/// # Errors
/// Without `/proc`.
pub fn keep_from_children() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_string_lossy().parse();
        let Ok(number @ 3..) = number else { continue };
        close_on_exec(number);
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a number that was inherited has no owner")]
fn close_on_exec(number: RawFd) {
    // SAFETY: The number is in the list of open descriptors, which no other thread changes; the flag neither closes it nor changes what it
    // is. That of the list itself may be closed already: the call then fails, which is harmless.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
}
