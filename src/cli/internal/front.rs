//! `xks-proxy front`: internal, started by `serve`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::app::{self, AppError};
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::hsm_protocol::launch::launched;

/// Internal: the process that serves KMS. Only a running "xks-proxy serve" starts it.
#[derive(Args)]
#[command(after_help = "Example:\n  xks-proxy serve --config /etc/xks-proxy/config.toml")]
pub(in crate::cli) struct Front {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Front {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        let launcher = match launched::take_channel() {
            Ok(launcher) => launcher,
            Err(error) => return CommandError::usage(error.to_string()).report(),
        };
        // The name in `ps` and `top`. If it cannot be set, nothing else is affected.
        let _ = rustix::thread::set_name(c"xks-proxy-front");
        match app::run(&self.config, launcher) {
            Ok(()) => ExitStatus::Done,
            Err(error) => report(&self.config, &error),
        }
    }
}

fn report(config: &Path, error: &AppError) -> ExitStatus {
    // If standard error is closed, the exit code is the only report.
    drop(writeln!(
        std::io::stderr(),
        "xks-proxy: {}: {error}",
        config.display()
    ));
    match error {
        AppError::Configuration(_) | AppError::Threads(_) => ExitStatus::BadConfiguration,
        // The next start may succeed after a disk error, but not with a wrong path.
        AppError::Audit(error) if !error.may_pass() => ExitStatus::BadConfiguration,
        _ => ExitStatus::Internal,
    }
}
