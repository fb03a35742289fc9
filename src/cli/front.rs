//! `xks-proxy front`: internal, started by `serve`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{ExitStatus, Refusal};
use crate::app::{self, AppError};
use crate::hsm_protocol::launch::launched;

/// Internal: the process that serves KMS. Only a running "xks-proxy serve" starts it.
#[derive(Args)]
#[command(after_help = "Example:\n  xks-proxy serve --config /etc/xks-proxy/config.toml")]
pub(super) struct Front {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Front {
    pub(super) fn run(self) -> ExitStatus {
        let launcher = match launched::take_channel() {
            Ok(launcher) => launcher,
            Err(error) => return Refusal::usage(error.to_string()).tell(),
        };
        // What `ps` and `top` show. A process without this name works as well.
        let _ = rustix::thread::set_name(c"xks-proxy-front");
        match app::run(&self.config, launcher) {
            Ok(()) => ExitStatus::Done,
            Err(error) => report(&self.config, &error),
        }
    }
}

fn report(config: &Path, error: &AppError) -> ExitStatus {
    // Without standard error there is nobody to tell; the exit code still does.
    drop(writeln!(
        std::io::stderr(),
        "xks-proxy: {}: {error}",
        config.display()
    ));
    match error {
        AppError::Configuration(_) => ExitStatus::BadConfiguration,
        // A full or broken disk may work again at the next start; a wrong path does not.
        AppError::Audit(error) if !error.may_pass() => ExitStatus::BadConfiguration,
        _ => ExitStatus::Internal,
    }
}
