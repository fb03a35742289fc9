//! The descriptors that a process inherited, except standard input, output and error.
//!
//! The program that started the service may have left descriptors open. Workers must not inherit them, because vendor libraries run there.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd};

/// Sets CLOEXEC on each descriptor above 2. To be called before the process starts a thread.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn keep_from_children() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_string_lossy().parse();
        let Ok(number @ 3..) = number else { continue };
        close_on_exec(number);
    }
    Ok(())
}

#[expect(unsafe_code, reason = "an inherited descriptor has no owner in Rust")]
fn close_on_exec(number: RawFd) {
    // SAFETY: the number is in the list of open descriptors, which no other thread changes. Setting the flag does not close the descriptor.
    // Only the descriptor of the list itself may be closed already: then the call fails without effect.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
}
