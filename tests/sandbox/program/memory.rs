//! Actions that need a direct system call.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::null_mut;

use libc::{MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE};

use crate::acts::raw;

const PAGE: usize = 4096;

/// Does an action on memory or processes.
pub fn attempt(verb: &str) -> io::Result<()> {
    match verb {
        "map-writable-executable" => map(PROT_READ | PROT_WRITE | PROT_EXEC).map(drop),
        "map-executable" => map(PROT_READ | PROT_EXEC).map(drop),
        "map-writable" => map(PROT_READ | PROT_WRITE).map(drop),
        "make-executable" => make_executable(libc::SYS_mprotect),
        "make-executable-with-key" => make_executable(libc::SYS_pkey_mprotect),
        "make-dumpable" => raw(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1).into() }),
        "type-into-terminal" => raw(unsafe { libc::ioctl(0, libc::TIOCSTI, c"x".as_ptr()).into() }),
        "new-user-namespace" => raw(clone(libc::CLONE_NEWUSER)),
        "clone3" => raw(unsafe { libc::syscall(libc::SYS_clone3, null_mut::<u8>(), 0) }),
        _ => panic!("unknown act {verb}"),
    }
}

fn map(protection: i32) -> io::Result<*mut libc::c_void> {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS;
    // SAFETY: a new mapping that nothing uses.
    let mapped = unsafe { libc::mmap(null_mut(), PAGE, protection, flags, -1, 0) };
    raw(mapped as i64).map(|()| mapped)
}

fn make_executable(call: i64) -> io::Result<()> {
    let mapped = map(PROT_READ | PROT_WRITE)?;
    // SAFETY: the mapping is this function's own. The key -1 stands for no key.
    raw(unsafe { libc::syscall(call, mapped, PAGE, PROT_READ | PROT_EXEC, -1) })
}

/// Starts a child process that ends at once.
pub fn fork() -> i64 {
    clone(0)
}

fn clone(flags: i32) -> i64 {
    let flags = flags | libc::SIGCHLD;
    // SAFETY: as with fork, the child has a copy of the stack, and ends without using it.
    let child = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if child == 0 {
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) }
    }
    child
}

/// Attaches to a process.
pub fn trace(pid: i32) -> i64 {
    // SAFETY: no memory is passed.
    unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) }
}

/// Checks for the permission to send a signal.
pub fn signal_0(pid: i32) -> i64 {
    // SAFETY: no memory is passed.
    unsafe { libc::kill(pid, 0) }.into()
}

pub fn socket(family: i32) -> i64 {
    // SAFETY: no memory is passed.
    unsafe { libc::socket(family, libc::SOCK_DGRAM, 0) }.into()
}

/// Truncates a file by path, without opening it.
pub fn truncate(path: &Path) -> i64 {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path ends with NUL.
    unsafe { libc::truncate(path.as_ptr(), 0) }.into()
}

pub fn load_library(path: &str) -> io::Result<()> {
    let path = CString::new(path).unwrap();
    // SAFETY: the library's constructors do nothing that this program depends on.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    match handle.is_null() {
        true => Err(io::Error::other("dlopen failed")),
        false => Ok(()),
    }
}
