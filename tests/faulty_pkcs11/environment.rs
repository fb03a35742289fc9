//! The environment variables of the module, which are read once when it is loaded.
//!
//! A process can load several devices. Each is a copy of this library with a different file name. A variable with this name as a suffix
//! (`hsm-b.so`: `_HSM_B`) has priority over the variable without a suffix.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The wrapped module, the control file, and the vendor texts.
pub struct Environment {
    pub module: PathBuf,
    pub control: Option<PathBuf>,
    pub manufacturer: Option<String>,
    pub model: Option<String>,
    pub firmware: Option<(u8, u8)>,
}

impl Environment {
    /// Reads the `FAULTY_PKCS11_*` variables.
    pub fn read() -> Self {
        let suffix = own_path().map(|path| suffix(&path));
        let read = |name| variable(name, suffix.as_deref());
        Self {
            module: read("MODULE").map_or_else(default_module, PathBuf::from),
            control: read("CONTROL").map(PathBuf::from),
            manufacturer: read("MANUFACTURER"),
            model: read("MODEL"),
            firmware: read("FIRMWARE").and_then(|version| parse_version(&version)),
        }
    }
}

/// The path of SoftHSM2 on Debian and Ubuntu.
fn default_module() -> PathBuf {
    PathBuf::from("/usr/lib/softhsm/libsofthsm2.so")
}

fn variable(name: &str, suffix: Option<&str>) -> Option<String> {
    let plain = format!("FAULTY_PKCS11_{name}");
    let own = suffix.and_then(|suffix| env::var(format!("{plain}_{suffix}")).ok());
    own.or_else(|| env::var(plain).ok())
}

fn parse_version(version: &str) -> Option<(u8, u8)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Returns `HSM_B` for `hsm-b.so`.
fn suffix(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    stem.to_ascii_uppercase().chars().map(legal).collect()
}

/// The file of this library: the file of the mapping that contains this function.
fn own_path() -> Option<PathBuf> {
    let here = own_path as fn() -> Option<PathBuf> as usize;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| contains(line, here))?;
    let path = line.split_once('/')?.1;
    Some(Path::new("/").join(path))
}

fn contains(line: &str, address: usize) -> bool {
    let range = line
        .split_once(' ')
        .and_then(|(range, _)| range.split_once('-'));
    let parse = |hex| usize::from_str_radix(hex, 16).ok();
    range.is_some_and(|(start, end)| {
        parse(start).is_some_and(|start| start <= address)
            && parse(end).is_some_and(|end| address < end)
    })
}
