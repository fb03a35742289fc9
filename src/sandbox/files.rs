//! Landlock rules: files that a process may read, write and execute, and the other restrictions that Landlock offers.

pub(super) mod grants;
pub(super) mod links;
pub(super) mod read_rules;

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd,
    PathFdError, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, Scope,
};
use rustix::fs::{FileType, fstat};

use super::error::SandboxError;
use super::protections::{Exposed, Protections};
use grants::Plan;
use read_rules::ReadRules;

/// The newest Landlock ABI that is used. Rights of newer versions are untested.
const NEWEST: ABI = ABI::V6;

/// Protections that later versions of Landlock add to [`FILES`], with the first version.
const LATER: [(&str, u32); 2] = [
    ("no truncation outside writable", 3),
    ("no signals and no abstract sockets to other processes", 6),
];

const FILES: &str = "file access";
const BIND: (&str, u32) = ("no TCP listener on a chosen port", 4);
const DEVICES: (&str, u32) = ("no commands to devices", 5);

/// Devices to which writing has no effect.
pub(super) const HARMLESS: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// The Landlock rules of a process.
pub(super) struct Files {
    handled: BitFlags<AccessFs>,
    is_binding_restricted: bool,
    /// Opened paths with their rights.
    rules: Vec<(PathFd, BitFlags<AccessFs>)>,
    exposed: Vec<Exposed>,
    reads: ReadRules,
}

impl Files {
    /// Creates the rules of a worker. A library may execute what it can read. `ioctl` on devices is not restricted, because an HSM can be a device
    /// of this machine.
    ///
    /// # Errors
    /// When a path in `writable` does not exist.
    pub(super) fn worker(plan: Plan, writable: &[PathBuf]) -> Result<Self, SandboxError> {
        let handled = AccessFs::from_all(NEWEST) & !BitFlags::from(AccessFs::IoctlDev);
        let mut files = Self::new(handled, AccessFs::from_read(NEWEST), plan, writable)?;
        files.is_binding_restricted = true;
        for device in HARMLESS {
            files.allow(Path::new(device), AccessFs::WriteFile.into());
        }
        Ok(files)
    }

    /// Creates the rules of the front, which executes no program.
    ///
    /// # Errors
    /// When a path in `writable` does not exist.
    pub(super) fn front(plan: Plan, writable: &[PathBuf]) -> Result<Self, SandboxError> {
        let reading = AccessFs::ReadFile | AccessFs::ReadDir;
        Self::new(AccessFs::from_all(NEWEST), reading, plan, writable)
    }

    fn new(
        handled: BitFlags<AccessFs>,
        reading: BitFlags<AccessFs>,
        plan: Plan,
        writable: &[PathBuf],
    ) -> Result<Self, SandboxError> {
        let mut files = Self {
            handled,
            is_binding_restricted: false,
            rules: Vec::new(),
            exposed: plan.exposed,
            reads: ReadRules::default(),
        };
        files.reads.restrict();
        // Names are not secret, and the configuration may name a directory to list.
        files.allow(Path::new("/"), AccessFs::ReadDir.into());
        for path in plan.directories.iter().chain(&plan.files) {
            files.allow(path, reading);
        }
        let devices = AccessFs::MakeChar | AccessFs::MakeBlock;
        let writing = reading | (AccessFs::from_write(NEWEST) & !devices);
        for path in writable {
            files.require(path, writing)?;
        }
        Ok(files)
    }

    /// Adds a rule if the path still exists: a file may be removed after it was found.
    fn allow(&mut self, path: &Path, rights: BitFlags<AccessFs>) {
        if let Ok(opened) = open(path) {
            self.add(opened, rights);
        }
    }

    fn require(&mut self, path: &Path, rights: BitFlags<AccessFs>) -> Result<(), SandboxError> {
        let opened = open(path).map_err(|error| SandboxError::Writable {
            path: path.to_owned(),
            error,
        })?;
        self.add(opened, rights);
        Ok(())
    }

    fn add(&mut self, path: PathFd, rights: BitFlags<AccessFs>) {
        let Ok(stat) = fstat(&path) else {
            return;
        };
        if rights.contains(AccessFs::ReadFile) {
            self.reads.allow(&stat);
        }
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let rights = match is_directory {
            true => rights & self.handled,
            false => rights & self.handled & AccessFs::from_file(NEWEST),
        };
        self.rules.push((path, rights));
    }

    /// Notes that no rules were applied because of a mistake.
    pub(super) fn prevented(mistake: &SandboxError, protections: &mut Protections) {
        protections.note_mistake(FILES, mistake);
    }

    /// Restricts the calling thread for its lifetime.
    pub(super) fn apply(self, protections: &mut Protections) {
        let (exposed, reads) = (self.exposed.clone(), self.reads.clone());
        let restricts_binding = self.is_binding_restricted;
        let restricts_devices = self.handled.contains(AccessFs::IoctlDev);
        let abi = match self.restrict() {
            Ok(status) => abi(&status.landlock),
            Err(error) => return protections.note(FILES, Err(error)),
        };
        protections.set_landlock_abi(abi);
        if abi > 0 {
            protections.set_reads(reads, exposed);
        }
        let parts = LATER.into_iter().chain([(FILES, 1)]);
        let binding = restricts_binding.then_some(BIND);
        let devices = restricts_devices.then_some(DEVICES);
        for (name, needed) in parts.chain(binding).chain(devices) {
            let lacks = || format!("needs Landlock ABI {needed}, the kernel has {abi}");
            let outcome = if abi >= needed { Ok(()) } else { Err(lacks()) };
            protections.note(name, outcome);
        }
    }

    fn restrict(self) -> Result<RestrictionStatus, RulesetError> {
        let mut ruleset = Ruleset::default()
            .handle_access(self.handled)?
            .scope(Scope::from_all(NEWEST))?;
        if self.is_binding_restricted {
            ruleset = ruleset.handle_access(AccessNet::BindTcp)?;
        }
        let mut created: RulesetCreated = ruleset.create()?;
        if self.is_binding_restricted {
            // A client may bind to an address of this machine before it connects, with a port that the kernel chooses.
            created = created.add_rule(NetPort::new(0, AccessNet::BindTcp))?;
        }
        for (path, rights) in self.rules {
            created = created.add_rule(PathBeneath::new(path, rights))?;
        }
        created.restrict_self()
    }
}

fn open(path: &Path) -> io::Result<PathFd> {
    PathFd::new(path).map_err(|error| match error {
        PathFdError::OpenCall { source, .. } => source,
        error => io::Error::other(error),
    })
}

fn abi(status: &LandlockStatus) -> u32 {
    match status {
        LandlockStatus::Available {
            effective_abi,
            kernel_abi,
        } => kernel_abi.map_or(*effective_abi as u32, |abi| abi.unsigned_abs()),
        _ => 0,
    }
}
