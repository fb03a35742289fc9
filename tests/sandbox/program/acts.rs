//! The actions of the program: `VERB:ARGUMENT`; two arguments are separated by `|`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};
use xks_proxy::sandbox::Protections;

use crate::{memory, token};

/// Does an action. Returns `ok`, a value, or an error.
pub fn attempt(act: &str, protections: &Protections) -> String {
    let (verb, argument) = act.split_once(':').unwrap_or((act, ""));
    let path = Path::new(argument);
    let (first, second) = argument.split_once('|').unwrap_or((argument, ""));
    let outcome = match verb {
        "read" => File::open(path).and_then(|mut file| file.read(&mut [0]).map(drop)),
        "list" => fs::read_dir(path).map(drop),
        "write" => append(path),
        "truncate" => raw(memory::truncate(path)),
        "remove" => fs::remove_file(path),
        "make-directory" => fs::create_dir(path),
        "rename" => fs::rename(first, second),
        "link" => fs::hard_link(first, second),
        "look" => fs::metadata(path).map(drop),
        "spawn" => Command::new(path).status().map(drop),
        "execute" => Err(Command::new(path).exec()),
        "fork" => raw(memory::fork()),
        "thread" => std::thread::Builder::new().spawn(|| ()).map(drop),
        "trace" => raw(memory::trace(argument.parse().unwrap())),
        "signal" => raw(memory::signal_0(argument.parse().unwrap())),
        "listen" => TcpListener::bind(argument).map(drop),
        "connect" => TcpStream::connect(argument).map(drop),
        "connect-abstract" => connect_abstract(argument),
        "socket" => raw(memory::socket(argument.parse().unwrap())),
        "load" => memory::load_library(argument),
        "token" => token::use_token(argument),
        "wait" => wait(),
        "is-allowed" => return protections.reads().allows(path).to_string(),
        "status" => return status(argument),
        "core-limit" => return format!("{:?}", getrlimit(Resource::Core)),
        "is-dumpable" => return is_dumpable().to_string(),
        _ => memory::attempt(verb),
    };
    show(outcome)
}

/// Returns `ok`, or the name of an error that tests expect, or the error text.
pub fn show(outcome: io::Result<()>) -> String {
    let Err(error) = outcome else {
        return "ok".into();
    };
    match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM".into(),
        Some(libc::EACCES) => "EACCES".into(),
        Some(libc::ENOSYS) => "ENOSYS".into(),
        Some(libc::EXDEV) => "EXDEV".into(),
        _ => error.to_string(),
    }
}

/// Converts the return value of a system call.
pub fn raw(returned: i64) -> io::Result<()> {
    match returned {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn append(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(b"x")
}

fn connect_abstract(name: &str) -> io::Result<()> {
    let address = SocketAddr::from_abstract_name(name)?;
    UnixStream::connect_addr(&address).map(drop)
}

/// Waits until the test has changed something and writes a line.
fn wait() -> io::Result<()> {
    println!("waiting\tok");
    io::stdin().lock().read_line(&mut String::new()).map(drop)
}

fn status(name: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or("none").trim_matches([':', '\t']).to_owned()
}

fn is_dumpable() -> bool {
    dumpable_behavior().unwrap() != DumpableBehavior::NotDumpable
}
