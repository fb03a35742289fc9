//! Sandboxes: what each process of the proxy gives up at its start, for itself, its later threads and its children.
//!
//! | | launcher | worker | front |
//! | --- | --- | --- | --- |
//! | no new privileges, no core dumps, not dumpable | yes | yes | yes |
//! | files that can be read | all | all but `unreadable` | all but `unreadable`, as far as [`Front`] can |
//! | files that can be written (Landlock) | all | `writable`, `/dev/null` and the like | `writable` |
//! | programs that can be executed | all | all | none; no child process either |
//! | TCP ports that can be bound (Landlock ABI 4) | all | ephemeral ones | all |
//! | signals and abstract sockets outside the sandbox (ABI 6) | yes | no | no |
//! | capabilities, if it runs as root | all | those that a device may need | files of other owners, ports below 1024 |
//! | executable memory | yes | yes: libraries may compile at run time | none beyond what the program has at its start |
//! | system calls (seccomp) | all | a deny list, `EPERM` | a longer deny list, `EPERM` |
//!
//! Children inherit a sandbox, so the launcher has none: it starts processes that need different ones. A sandbox cannot be undone or widened.
//! A restricted process cannot trace, and cannot read `/proc/<pid>/{mem,environ,fd}` of, any process outside its sandbox, also with the same
//! user ID: Landlock denies it, and no process of the proxy is dumpable.
//!
//! A kernel that lacks a protection is a warning in [`Protections`], never an error: the service must run on old kernels. Errors are
//! mistakes of the caller or of the configuration: see [`SandboxError`].
//!
//! # How an operator finds the path that a library was denied
//! The library knows and seldom says so. [`denied_paths`] compares what the configuration and the library's own file name with the rules
//! of the sandbox; a worker adds the result to the reason of a failed opening. Since ABI 7 (Linux 6.15) the kernel writes
//! each denial to the audit log if auditing is on: `ausearch -m LANDLOCK_ACCESS` shows the right and the path. Nothing else works without
//! privileges. A seccomp notification for each opened file would need a second process that reads the memory of the library's process,
//! which the sandbox forbids; and a second opening without the sandbox would let a library choose to run without it.
//!
//! # Limits
//! - Landlock knows files by inode and directory, not by name. A second hard link to a hidden file, or a bind mount of its directory, can be read.
//! - Metadata is not protected: every file can be found, and its size, owner and times can be seen.
//! - Connecting is not restricted: HSMs are reached by TCP, and by sockets in the file system.
//! - Listening on a port that the kernel chooses needs no `bind`, and Landlock does not restrict it.
//! - 32-bit programs that a library starts are killed: the filters know 64-bit system calls only.

mod capabilities;
mod denied_paths;
mod error;
mod files;
mod process;
mod protections;
mod system_calls;
mod threads;

use std::path::PathBuf;

pub use denied_paths::named_paths::{NamedPath, Source, named_paths, paths_in_library};
pub use denied_paths::{Denied, Obstacle, denied_paths};
pub use error::SandboxError;
use files::Files;
use files::grants::{self, Lifetime, Reading};
pub use files::read_rules::ReadRules;
pub use protections::{Exposed, Missing, Protections};

/// The launcher gives up new privileges and core dumps only: its children need different sandboxes.
#[derive(Clone, Copy, Debug)]
pub struct Launcher;

impl Launcher {
    /// Restricts the calling thread, and the threads and children that it starts later. Core dumps end for the whole process.
    pub fn apply(self) -> Protections {
        let mut protections = Protections::default();
        process::restrict(&mut protections);
        protections
    }
}

/// A worker: the process of a PKCS#11 library, which may compile code and start helpers.
#[derive(Clone, Debug, Default)]
pub struct Worker {
    /// Files, devices and directories that the library may write, with everything below them.
    pub writable: Vec<PathBuf>,
    /// Secrets of other parts of the proxy, such as the TLS key; empty: everything can be read. The PIN belongs here if it was read before.
    /// Their directories are hidden with them, except for what `readable` names. A file that appears later in a directory
    /// above a secret cannot be read either, until the next worker starts: Landlock has no rule that excludes a file.
    pub unreadable: Vec<PathBuf>,
    /// Files and directories that the library needs even if they are beside a secret: its module, and what its environment names.
    pub readable: Vec<PathBuf>,
}

impl Worker {
    /// Restricts the process for good. Call it before the library is loaded, and before there are threads.
    ///
    /// # Errors
    /// When a path in `writable` does not exist, or when the process has threads already. What was given up by then stays so.
    pub fn apply(&self) -> Result<Protections, SandboxError> {
        let mut protections = Launcher.apply();
        threads::wait_until_single()?;
        let reading = Reading {
            lifetime: Lifetime::Short,
            readable: &self.readable,
            unreadable: &self.unreadable,
            credentials: None,
        };
        capabilities::keep(capabilities::WORKER, &mut protections);
        let plan = grants::plan(&reading, &self.writable);
        Files::worker(plan, &self.writable)?.apply(&mut protections);
        system_calls::filter::apply(&system_calls::worker(), &mut protections);
        Ok(protections)
    }
}

/// The front: a network server that runs for years and reads its configuration again, but never a PIN.
///
/// # What hides a PIN file
/// Landlock has rules that allow, and a rule for a directory covers everything that will ever be below it. A rule for a file ends when the
/// file is replaced by a rename, as most editors and tools do. So the front may read:
/// - the directory of each file in `readable`, the directory of each symbolic link on the way to it, and each directory in `readable`: these
///   files can be replaced, and links can be moved, as often as the operator likes;
/// - every other directory that exists at the start, except those above a PIN file; directly in these, only the files that exist at
///   the start, and in the PIN file's own directory none;
/// - in `credentials`, single files: systemd never replaces them while the service runs.
///
/// # What that means
/// - A PIN file is hidden if no file in `readable` is in its directory or in a directory above it. Otherwise the front must be able
///   to read that directory, and with it the PIN: [`Protections::exposed`] names both. The remedy is a directory that is
///   not below another directory of the configuration, such as `/etc/xks-proxy-pins` beside `/etc/xks-proxy`, or a systemd credential.
///   `/etc/xks-proxy/pins` does not help while `/etc/xks-proxy/config.toml` exists.
/// - A hidden PIN file stays hidden when it is replaced.
/// - A reload can name any file in a directory that existed at the start. It cannot read a file or directory that was created later
///   *directly* in a directory above a hidden PIN file (`/`, `/etc`, `/etc/xks-proxy-pins`). [`ReadRules::allows`] finds that out for the
///   error message; a restart of the proxy cures it.
/// - A PIN file that a reload names for the first time is not hidden before the next start, unless it is in a hidden directory.
///   [`ReadRules::allows`] finds that out, too.
/// - The start waits for file servers that are mounted directly in a directory above a PIN file.
///
/// # What the front cannot do any more
/// It maps no code: a shared library that it loads with `dlopen` after this call fails to load. glibc before 2.34 loads the one that asks
/// DNS so; a collector of spans must then be named by its IP address. It sends nothing to an abstract socket (`NOTIFY_SOCKET=@…`)
/// unless the socket was connected before.
#[derive(Clone, Debug, Default)]
pub struct Front {
    /// Every file and directory that the configuration was read from, and the configuration itself.
    pub readable: Vec<PathBuf>,
    /// systemd's directory of credentials (`CREDENTIALS_DIRECTORY`), if there is one: its files are not replaced while the service runs.
    pub credentials: Option<PathBuf>,
    /// The directories of the audit trail and of the state.
    pub writable: Vec<PathBuf>,
    /// The PIN files.
    pub unreadable: Vec<PathBuf>,
}

impl Front {
    /// Restricts the process for good. Call it before there are threads: an earlier thread would keep its access to files.
    ///
    /// Each protection is independent of the others. One that a mistake prevents is in [`Protections::missing`] with its reason, and
    /// [`Protections::has_mistake`] is true then: a path in `writable` does not exist, or threads that run already have not ended within two
    /// seconds.
    pub fn apply(&self) -> Protections {
        let mut protections = Launcher.apply();
        let threads = threads::wait_until_single();
        capabilities::keep(capabilities::FRONT, &mut protections);
        match threads.and_then(|()| self.files()) {
            Ok(files) => files.apply(&mut protections),
            Err(mistake) => Files::prevented(&mistake, &mut protections),
        }
        system_calls::filter::apply(&system_calls::front(), &mut protections);
        protections
    }

    fn files(&self) -> Result<Files, SandboxError> {
        let reading = Reading {
            lifetime: Lifetime::Long,
            readable: &self.readable,
            unreadable: &self.unreadable,
            credentials: self.credentials.as_deref(),
        };
        Files::front(grants::plan(&reading, &self.writable), &self.writable)
    }
}
