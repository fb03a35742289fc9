//! The command line. Flags are parsed dumb here, one file per command, and mean something further down.

mod audit;
#[cfg(feature = "toolkit")]
mod bench;
mod check_config;
#[cfg(feature = "toolkit")]
mod conformance;
mod credential;
mod exit;
#[cfg(any(feature = "simulator", feature = "toolkit"))]
mod files;
mod front;
mod hsms;
mod key;
mod load;
mod migrate_config;
mod policy;
#[cfg(feature = "toolkit")]
mod probe;
mod progress;
mod serve;
#[cfg(feature = "simulator")]
mod simulator;
#[cfg(feature = "toolkit")]
mod target;
mod terminal;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::sync::install_panic_hook;

/// AWS KMS external key store (XKS) proxy in front of PKCS#11 HSMs.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    #[command(hide = true)]
    Front(front::Front),
    #[command(hide = true)]
    Worker(worker::Worker),
    CheckConfig(check_config::CheckConfig),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    Credential(credential::Credential),
    #[command(subcommand)]
    Policy(policy::Policy),
    #[command(subcommand)]
    Audit(audit::Audit),
    MigrateConfig(migrate_config::MigrateConfig),
    #[cfg(feature = "toolkit")]
    Probe(probe::Probe),
    #[cfg(feature = "toolkit")]
    Bench(Box<bench::Bench>),
    #[cfg(feature = "toolkit")]
    Conformance(Box<conformance::Conformance>),
}

/// Parses the command line and runs the command. Wrong usage exits with 2, from the parser.
pub fn run() -> ExitCode {
    install_panic_hook();
    let status = match CommandLine::parse().command {
        Command::Serve(command) => command.run(),
        Command::Front(command) => command.run(),
        Command::Worker(command) => command.run(),
        Command::CheckConfig(command) => command.run(),
        Command::Key(command) => command.run(),
        Command::Credential(command) => command.run(),
        Command::Policy(command) => command.run(),
        Command::Audit(command) => command.run(),
        Command::MigrateConfig(command) => command.run(),
        #[cfg(feature = "toolkit")]
        Command::Probe(command) => command.run(),
        #[cfg(feature = "toolkit")]
        Command::Bench(command) => command.run(),
        #[cfg(feature = "toolkit")]
        Command::Conformance(command) => command.run(),
    };
    status.into()
}

/// The second binary, `kms-simulator`: parses its command line and runs it.
#[cfg(feature = "simulator")]
pub fn kms_simulator() -> ExitCode {
    install_panic_hook();
    simulator::KmsSimulator::parse().run().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_help_shows_an_example() {
        let mut commands: Vec<_> = CommandLine::command().get_subcommands().cloned().collect();
        let mut shown = 0;
        while let Some(command) = commands.pop() {
            // A command that only groups others has nothing to show; each of those has.
            if command.has_subcommands() {
                commands.extend(command.get_subcommands().cloned());
                continue;
            }
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            assert!(help.contains("Example"), "{}", command.get_name());
            shown += 1;
        }
        assert!(shown >= 11, "only {shown} commands");
    }
}
