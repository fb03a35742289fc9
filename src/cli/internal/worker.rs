//! `xks-proxy worker`: internal, started by `serve`, and by commands that use HSMs.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::hsm_protocol::launch::{HsmName, SettingsChoice};
use crate::launcher::Plan;
use crate::worker::{self, Preparation, Purpose, WorkerError};

/// Selects the mode of a worker of a command.
const ADMINISTRATION: &str = "--administration";

/// Internal: the process that runs the PKCS#11 library of one HSM. Only a running "xks-proxy serve", or a command that uses HSMs,
/// starts it.
#[derive(Args)]
#[command(after_help = "Example:\n  xks-proxy serve --config /etc/xks-proxy/config.toml")]
pub(in crate::cli) struct Worker {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The name of the HSM in the configuration.
    #[arg(long, value_name = "NAME")]
    hsm: String,
    /// Use the settings of the last worker of this HSM that served requests.
    #[arg(long)]
    last_good: bool,
    /// Serve a command of the operator instead of a front.
    #[arg(long)]
    administration: bool,
    /// The second stage, which has the environment of the HSM.
    #[arg(long)]
    prepared: bool,
}

impl Worker {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        // The name in `ps` and `top`. If it cannot be set, nothing else is affected.
        let _ = rustix::thread::set_name(c"xks-proxy-hsm");
        let outcome = match self.prepared {
            true => worker::start(self.purpose()),
            false => worker::prepare(&self.preparation()).map(|never| match never {}),
        };
        let Err(error) = outcome else {
            return ExitStatus::Done;
        };
        let status = match error {
            WorkerError::Settings(_) => ExitStatus::BadConfiguration,
            WorkerError::NotLaunched(_) => ExitStatus::WrongUsage,
            WorkerError::Io(_) => ExitStatus::Internal,
        };
        CommandError::new(status, error.to_string()).report()
    }

    fn purpose(&self) -> Purpose {
        match self.administration {
            true => Purpose::Administration,
            false => Purpose::Service,
        }
    }

    fn preparation(self) -> Preparation {
        let settings = match self.last_good {
            true => SettingsChoice::LastGood,
            false => SettingsChoice::Current,
        };
        let mut second_stage = common(&self.config, &self.hsm);
        if self.administration {
            second_stage.push(ADMINISTRATION.into());
        }
        second_stage.push("--prepared".into());
        Preparation {
            config: self.config,
            hsm: self.hsm,
            settings,
            second_stage,
        }
    }
}

/// Returns the arguments of a worker of the service.
pub(in crate::cli) fn arguments(
    plan: &Plan,
    hsm: &HsmName,
    settings: SettingsChoice,
) -> Vec<OsString> {
    let mut arguments = common(&plan.config, hsm.as_str());
    if settings == SettingsChoice::LastGood {
        arguments.push("--last-good".into());
    }
    arguments
}

/// Returns the arguments of a worker of a command.
pub(in crate::cli) fn administration_arguments(
    plan: &Plan,
    hsm: &HsmName,
    _: SettingsChoice,
) -> Vec<OsString> {
    let mut arguments = common(&plan.config, hsm.as_str());
    arguments.push(ADMINISTRATION.into());
    arguments
}

fn common(config: &std::path::Path, hsm: &str) -> Vec<OsString> {
    let mut file = OsString::from("--config=");
    file.push(config);
    vec!["worker".into(), file, format!("--hsm={hsm}").into()]
}
