//! Sandboxes: the restrictions that each process of the proxy applies at its start to itself, its later threads and its children.
//!
//! | | launcher | worker | front |
//! | --- | --- | --- | --- |
//! | no new privileges, no core dumps, not dumpable | yes | yes | yes |
//! | files that can be read | all | all but `unreadable` | all but `unreadable`, with the limits of [`Front`] |
//! | files that can be written (Landlock) | all | `writable`, `/dev/null` and the like | `writable` |
//! | programs that can be executed | all | all | none; no child process either |
//! | TCP ports that can be bound (Landlock ABI 4) | all | ephemeral ones | all |
//! | signals and abstract sockets outside the sandbox (ABI 6) | yes | no | no |
//! | capabilities, if it runs as root | all | those that an HSM driver may need | files of other owners, ports below 1024 |
//! | executable memory | yes | yes: libraries may compile at run time | none beyond what the program has at its start |
//! | system calls (seccomp) | all | a deny list, `EPERM` | a longer deny list, `EPERM` |
//!
//! Children inherit a sandbox, so the launcher has none: its children need different ones. A sandbox cannot be removed or widened.
//! A restricted process cannot trace a process outside its sandbox, and cannot read its `/proc/<pid>/{mem,environ,fd}`. This holds also for
//! processes of the same user: Landlock denies the access, and no process of the proxy is dumpable.
//!
//! A kernel that lacks a protection is a warning in [`Protections`], never an error: the service must run on old kernels. Errors are
//! mistakes of the caller or of the configuration: see [`SandboxError`].
//!
//! # How an operator finds the path that a library was denied
//! Libraries seldom report it. [`denied_paths()`] compares the paths in the configuration and in the library's own file with the rules of the
//! sandbox; a worker adds the result to the reason of a failed opening. Since ABI 7 (Linux 6.15) the kernel writes
//! each denial to the audit log if auditing is on: `ausearch -m LANDLOCK_ACCESS` shows the right and the path. No other
//! method works without privileges. A seccomp notification for each opened file would need a second process that reads the memory of the
//! library's process, which the sandbox forbids. A second opening without the sandbox would allow a library to run without it.
//!
//! # Limits
//! - Landlock knows files by inode and directory, not by name. A second hard link to a hidden file, or a bind mount of its directory, can be read.
//! - Metadata is not protected: names, sizes, owners and times of all files can be read.
//! - Connecting is not restricted: HSMs are reached by TCP, and by sockets in the file system.
//! - Listening on a port that the kernel chooses needs no `bind`, and Landlock does not restrict it.
//! - 32-bit programs that a library starts are killed: the filters contain 64-bit system calls only.

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

/// The sandbox of the launcher: no new privileges and no core dumps. Its children need different sandboxes.
#[derive(Clone, Copy, Debug)]
pub struct Launcher;

impl Launcher {
    /// Restricts the calling thread, and the threads and children that it starts later. Core dumps are disabled for the whole process.
    pub fn apply(self) -> Protections {
        let mut protections = Protections::default();
        process::restrict(&mut protections);
        protections
    }
}

/// The sandbox of a worker: the process of a PKCS#11 library, which may compile code and start helper programs.
#[derive(Clone, Debug, Default)]
pub struct Worker {
    /// Files, devices and directories that the library may write; directories with everything below them.
    pub writable: Vec<PathBuf>,
    /// Secret files of other parts of the proxy, such as the TLS key. If the list is empty, all files can be read. The PIN file belongs here if
    /// it was read before. The directory of a secret is hidden, too, except for the paths in `readable`. A file that is created later in a
    /// directory above a secret cannot be read until the next worker starts, because Landlock has no rule that excludes a file.
    pub unreadable: Vec<PathBuf>,
    /// Files and directories that the library needs even if a secret is in the same directory: its module, and paths in its environment.
    pub readable: Vec<PathBuf>,
}

impl Worker {
    /// Restricts the process for its lifetime. Call it before the library is loaded, while the process has one thread.
    ///
    /// # Errors
    /// When a path in `writable` does not exist, or when the process has more threads. Restrictions that were applied before the error stay.
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

/// The sandbox of the front: a network server that runs for years and reloads its configuration, but never reads a PIN.
///
/// # How a PIN file is hidden
/// Landlock rules only allow. A rule for a directory also covers everything that is created below it later. A rule for a file ends when the
/// file is replaced by a rename, as most editors and tools do. So the front may read:
/// - the directory of each file in `readable`, the directory of each symbolic link on the way to it, and each directory in `readable`: these
///   files can be replaced, and links can be moved, as often as the operator likes;
/// - every other directory that exists at the start, except those above a PIN file. In a directory above a PIN file, it may read the files
///   that exist at the start; in the directory that contains the PIN file, none;
/// - in `credentials`, single files: systemd never replaces them while the service runs.
///
/// # Consequences
/// - A PIN file is hidden if no file in `readable` is in its directory or in a directory above it. Otherwise the front must be able
///   to read that directory, and with it the PIN: [`Protections::exposed`] names both. To fix this, move the PIN file to a directory that
///   is not below another directory of the configuration, such as `/etc/xks-proxy-pins` beside `/etc/xks-proxy`, or a systemd credential.
///   `/etc/xks-proxy/pins` does not help while `/etc/xks-proxy/config.toml` exists.
/// - A hidden PIN file stays hidden when it is replaced.
/// - A reload can name any file in a directory that existed at the start. It cannot read a file or directory that was created later
///   *directly* in a directory above a hidden PIN file (`/`, `/etc`, `/etc/xks-proxy-pins`). [`ReadRules::allows`] detects this for
///   the error message; a restart of the proxy fixes it.
/// - A PIN file that a reload names for the first time is not hidden before the next start, unless it is in a hidden directory.
///   [`ReadRules::allows`] detects this, too.
/// - The start waits for file servers that are mounted directly in a directory above a PIN file.
///
/// # Limits of the front after this call
/// It cannot map executable memory, so `dlopen` of a shared library fails after this call. glibc before 2.34 loads its DNS resolver this way:
/// there, the OpenTelemetry collector must be configured by its IP address. It cannot send to an abstract socket (`NOTIFY_SOCKET=@…`) that
/// was not connected before.
#[derive(Clone, Debug, Default)]
pub struct Front {
    /// The configuration, and every file and directory that it names.
    pub readable: Vec<PathBuf>,
    /// systemd's directory of credentials (`CREDENTIALS_DIRECTORY`), if there is one: its files are not replaced while the service runs.
    pub credentials: Option<PathBuf>,
    /// The directories of the audit trail and of the state.
    pub writable: Vec<PathBuf>,
    /// The PIN files.
    pub unreadable: Vec<PathBuf>,
}

impl Front {
    /// Restricts the process for its lifetime. Call it while the process has one thread: other threads would keep their access to files.
    ///
    /// Each protection is independent of the others. Two mistakes prevent the protection of files: a path in `writable` does not exist, or
    /// other threads have not ended within two seconds. Then the protection is in [`Protections::missing`] with its reason, and
    /// [`Protections::has_mistake`] returns true.
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
