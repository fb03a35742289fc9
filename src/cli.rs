//! The command line, one file per command. This module only parses flags and prints results; other modules do the work.

mod audit;
mod check_config;
mod credential;
mod input;
mod internal;
mod key;
mod migrate_config;
mod output;
mod policy;
mod serve;
#[cfg(feature = "simulator")]
mod simulator;
#[cfg(feature = "toolkit")]
mod toolkit;

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
    Front(internal::front::Front),
    #[command(hide = true)]
    Worker(internal::worker::Worker),
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
    Probe(toolkit::probe::Probe),
    #[cfg(feature = "toolkit")]
    Bench(Box<toolkit::bench::Bench>),
    #[cfg(feature = "toolkit")]
    Conformance(Box<toolkit::conformance::Conformance>),
}

/// Parses the command line and runs the command. For wrong usage, the parser exits with 2.
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

/// Parses the command line of the second binary, `kms-simulator`, and runs it.
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
            // A group of commands has no example; each of its commands has one.
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
