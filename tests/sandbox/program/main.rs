//! `sandboxed`: restricts itself as a process of the proxy does, then tries actions and prints their outcomes.
//!
//! `sandboxed SANDBOX OPTION=VALUE… -- ACT…`; SANDBOX is `none`, `launcher`, `worker` or `front`. See [`acts`] for the actions. Each prints
//! one line: the action, a tab, and `ok` or an error. The report of the sandbox is printed first, in lines of the same form.

#![expect(
    unsafe_code,
    reason = "the tests need system calls that the standard library does not offer"
)]
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a program for tests"
)]

mod acts;
mod calls;
mod kernel;
mod memory;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use xks_proxy::sandbox::{Front, Launcher, Protections, SandboxError, Worker};

#[derive(Default)]
struct Arguments {
    sandbox: String,
    readable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
    unreadable: Vec<PathBuf>,
    credentials: Option<PathBuf>,
    acts: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = arguments();
    let protections = match apply(&arguments) {
        Ok(protections) => protections,
        Err(error) => {
            println!("error\t{error}");
            return ExitCode::FAILURE;
        }
    };
    print(&protections);
    for act in &arguments.acts {
        if act == "calls" {
            calls::try_all();
            continue;
        }
        let outcome = acts::attempt(act, &protections);
        println!("{act}\t{outcome}");
    }
    ExitCode::SUCCESS
}

/// Reads the command line. Options that change the kernel or the process before the sandbox take effect at once.
fn arguments() -> Arguments {
    let mut given = std::env::args().skip(1);
    let mut arguments = Arguments {
        sandbox: given.next().expect("a sandbox"),
        ..Arguments::default()
    };
    for option in given.by_ref().take_while(|option| option != "--") {
        let (name, value) = option.split_once('=').expect("OPTION=VALUE");
        match name {
            "readable" => arguments.readable.push(value.into()),
            "writable" => arguments.writable.push(value.into()),
            "unreadable" => arguments.unreadable.push(value.into()),
            "credentials" => arguments.credentials = Some(value.into()),
            "kernel-without" => kernel::remove(value),
            "threads" => kernel::start_threads(value.parse().unwrap()),
            _ => panic!("unknown option {name}"),
        }
    }
    arguments.acts = given.collect();
    arguments
}

fn apply(arguments: &Arguments) -> Result<Protections, SandboxError> {
    let paths = |paths: &[PathBuf]| paths.to_vec();
    match arguments.sandbox.as_str() {
        "none" => Ok(Protections::default()),
        "launcher" => Ok(Launcher.apply()),
        "worker" => Worker {
            readable: paths(&arguments.readable),
            writable: paths(&arguments.writable),
            unreadable: paths(&arguments.unreadable),
        }
        .apply(),
        "front" => Ok(Front {
            readable: paths(&arguments.readable),
            writable: paths(&arguments.writable),
            unreadable: paths(&arguments.unreadable),
            credentials: arguments.credentials.clone(),
        }
        .apply()),
        other => panic!("unknown sandbox {other}"),
    }
}

fn print(protections: &Protections) {
    for name in protections.active() {
        println!("active\t{name}");
    }
    for missing in protections.missing() {
        println!("missing\t{}: {}", missing.protection, missing.reason);
    }
    println!("mistake\t{}", protections.has_mistake());
    for exposed in protections.exposed() {
        println!("exposed\t{exposed}");
    }
}
