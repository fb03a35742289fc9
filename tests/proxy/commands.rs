//! The command line: exit codes, and the commands that write files or create keys.

pub mod command_line;
mod credential_new;
mod key_commands;
mod migrate_config;
