//! `kms-simulator`: the flags of the second binary.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;

use crate::cli::input::files::{read, read_text};
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::client;
use crate::simulator::{
    self, ClientCertificateKind, EndpointService, EndpointServices, KmsCredentials, Principals,
    Settings, StartError, TrailFaults, TrailSettings,
};

/// AWS KMS on this machine, as far as external key stores go: for the AWS CLI and SDKs on one side, any XKS proxy on the other.
#[derive(Parser)]
#[command(
    name = "kms-simulator",
    version,
    max_term_width = 100,
    after_help = "Example:\n  \
    kms-simulator --trusted-ca .dev/ca.pem --resolve localhost=127.0.0.1:8443 --identity .dev/kms --state .dev/kms.json\n  \
    aws kms list-keys --endpoint-url http://127.0.0.1:8090\n\n\
    Metrics are at /metrics. PUT /client-certificate with KIND changes the certificate that new connections present to proxies. \
    Without --credentials every caller is accepted, and the account is the access key id if that has 12 digits; \
    the Region is that of the signature. With --credentials, key policies and grants have their effect. With --principals as well, \
    identity policies have their effect; without it each principal of an account may do what the key policy leaves to the account.\n\n\
    Exit codes: 0 stopped by a signal, 2 wrong usage, 78 a file has errors, 70 internal."
)]
pub(super) struct KmsSimulator {
    /// Where to listen, plain HTTP; port 0 is any that is free.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Listen on an address that other machines can reach: they could use every key.
    #[arg(long)]
    danger_listen_anywhere: bool,
    /// PEM of authorities of the proxies' certificates, besides the public ones.
    #[arg(long, value_name = "FILE")]
    trusted_ca: Vec<PathBuf>,
    /// Where the proxy of https://NAME listens, if not where DNS says, on port 443.
    #[arg(long, value_name = "NAME=IP:PORT", value_parser = resolved)]
    resolve: Vec<(String, SocketAddr)>,
    /// A directory for an authority (ca.pem) and client certificates of each Region, made once.
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
    /// Which client certificate is presented: client-auth, server-auth-only, none, other-ca or expired. All but none need --identity.
    #[arg(long, value_name = "KIND", default_value_t = ClientCertificateKind::None)]
    client_certificate: ClientCertificateKind,
    /// The credentials of permitted callers: ACCESS_KEY_ID SECRET_ACCESS_KEY PRINCIPAL_ARN on each line.
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// Tags and identity policies of those who may call, in JSON (softhsm/README.md); without it identity policies allow everything.
    #[arg(long, value_name = "FILE", requires = "credentials")]
    principals: Option<PathBuf>,
    /// Keep the state in this file: it holds key material and secrets.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Cryptographic requests per second and key store.
    #[arg(long, value_name = "N", default_value = "1800", value_parser = clap::value_parser!(u32).range(1..))]
    quota: u32,
    /// How long a proxy has for an answer.
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = duration)]
    timeout: Duration,
    /// A VPC endpoint service: its name, the account that has it, and other accounts whose principals may connect. With at least one,
    /// there are no others.
    #[arg(long, value_name = "NAME=OWNER[,ACCOUNT…]", value_parser = endpoint_service)]
    vpc_endpoint_service: Vec<(String, EndpointService)>,
    /// Answer time-outs of cryptographic operations with KMSInternalException, as KMS does at times, instead of KMSInvalidStateException.
    #[arg(long)]
    internal_timeouts: bool,
    /// From one health check of a connected store to the next.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    health_interval: Duration,
    /// Write the events of all accounts as CloudTrail's files, as in a bucket: DIR/AWSLogs/ACCOUNT/CloudTrail/….
    #[arg(long, value_name = "DIR")]
    cloudtrail: Option<PathBuf>,
    /// From one delivery of CloudTrail's files to the next.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, requires = "cloudtrail")]
    cloudtrail_interval: Duration,
    /// Never deliver each N-th record.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), requires = "cloudtrail")]
    cloudtrail_lose: Option<u64>,
    /// Deliver each N-th record twice.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), requires = "cloudtrail")]
    cloudtrail_repeat: Option<u64>,
    /// Deliver each N-th record late.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), requires = "cloudtrail")]
    cloudtrail_delay: Option<u64>,
    /// How late.
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration, requires = "cloudtrail")]
    cloudtrail_delay_by: Duration,
    /// Print events as JSON lines.
    #[arg(long)]
    json: bool,
}

impl KmsSimulator {
    pub(super) fn run(self) -> ExitStatus {
        let outcome = self
            .settings()
            .and_then(|settings| simulator::run(settings).map_err(failed));
        match outcome {
            Ok(()) => ExitStatus::Done,
            Err(CommandError { status, message }) => {
                // Without standard error there is nobody to tell; the exit code still does.
                drop(writeln!(std::io::stderr(), "kms-simulator: {message}"));
                status
            }
        }
    }

    fn settings(self) -> Result<Settings, CommandError> {
        if !self.listen.ip().is_loopback() && !self.danger_listen_anywhere {
            return Err(CommandError::usage(format!(
                "{} can be reached from other machines; to permit this, use --danger-listen-anywhere",
                self.listen
            )));
        }
        let mut authorities = Vec::new();
        for file in &self.trusted_ca {
            let found = client::authorities(&read(file)?);
            authorities.extend(found.map_err(|fault| faulty(file, fault))?);
        }
        let trail = self.trail();
        let credentials = self.credentials.as_deref().map(credentials).transpose()?;
        Ok(Settings {
            listen: self.listen,
            authorities,
            resolve: HashMap::from_iter(self.resolve),
            identity: self.identity,
            client_certificate: self.client_certificate,
            principals: principals(self.principals.as_deref(), credentials.as_ref())?,
            credentials,
            state: self.state,
            quota: self.quota,
            timeout: self.timeout,
            endpoint_services: EndpointServices::new(self.vpc_endpoint_service),
            internal_timeouts: self.internal_timeouts,
            health_interval: self.health_interval,
            trail,
            json: self.json,
        })
    }
}

impl KmsSimulator {
    fn trail(&self) -> Option<TrailSettings> {
        let directory = self.cloudtrail.clone()?;
        Some(TrailSettings {
            directory,
            interval: self.cloudtrail_interval,
            faults: TrailFaults {
                lost: self.cloudtrail_lose,
                doubled: self.cloudtrail_repeat,
                late: self.cloudtrail_delay,
                late_by: self.cloudtrail_delay_by,
            },
        })
    }
}

fn credentials(file: &Path) -> Result<KmsCredentials, CommandError> {
    KmsCredentials::parse(&read_text(file)?)
        .map_err(|error| faulty(file, &format!("has faults: {error}")))
}

fn principals(
    file: Option<&Path>,
    credentials: Option<&KmsCredentials>,
) -> Result<Option<Principals>, CommandError> {
    let (Some(file), Some(credentials)) = (file, credentials) else {
        return Ok(None);
    };
    let principals = Principals::parse(&read_text(file)?, credentials);
    principals
        .map(Some)
        .map_err(|error| faulty(file, &format!("has errors: {error}")))
}

fn faulty(file: &Path, what: &str) -> CommandError {
    CommandError::new(
        ExitStatus::BadConfiguration,
        format!("{} {what}", file.display()),
    )
}

fn failed(error: StartError) -> CommandError {
    let status = match error {
        StartError::State(_) | StartError::Identity(_) | StartError::Trail(_) => {
            ExitStatus::BadConfiguration
        }
        StartError::Listen(..)
        | StartError::Machine(_)
        | StartError::Metrics(_)
        | StartError::Resume(_) => ExitStatus::Internal,
    };
    CommandError::new(status, error.to_string())
}

fn resolved(text: &str) -> Result<(String, SocketAddr), String> {
    let wrong = || "NAME=IP:PORT is needed".to_owned();
    let (name, address) = text.split_once('=').ok_or_else(wrong)?;
    let address = address.parse().map_err(|_| wrong())?;
    Ok((name.to_ascii_lowercase(), address))
}

fn endpoint_service(text: &str) -> Result<(String, EndpointService), String> {
    let wrong = || "NAME=OWNER[,ACCOUNT…] is needed, with accounts of 12 digits".to_owned();
    let (name, accounts) = text.split_once('=').ok_or_else(wrong)?;
    let accounts: Vec<_> = accounts.split(',').map(str::to_owned).collect();
    let is_account = |text: &String| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    let (owner, allowed) = accounts.split_first().ok_or_else(wrong)?;
    match !name.is_empty() && accounts.iter().all(is_account) {
        true => Ok((
            name.to_owned(),
            EndpointService {
                owner: owner.clone(),
                allowed: allowed.iter().cloned().collect(),
            },
        )),
        false => Err(wrong()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match duration >= Duration::from_millis(1) {
        true => Ok(duration),
        false => Err("at least 1ms is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_flags_are_consistent_and_help_shows_an_example() {
        let command = KmsSimulator::command();
        command.clone().debug_assert();
        assert!(
            command
                .get_after_help()
                .unwrap()
                .to_string()
                .contains("Example")
        );
    }

    #[test]
    fn only_this_machine_is_listened_to_unasked() {
        let settings = |flags: &[&str]| {
            let flags = std::iter::once(&"kms-simulator").chain(flags);
            KmsSimulator::try_parse_from(flags).unwrap().settings()
        };
        let anywhere = ["--listen", "0.0.0.0:0"];
        assert_eq!(
            settings(&anywhere).err().unwrap().status,
            ExitStatus::WrongUsage
        );
        assert!(settings(&["--listen", "0.0.0.0:0", "--danger-listen-anywhere"]).is_ok());
        assert!(
            settings(&[
                "--listen",
                "[::1]:0",
                "--resolve",
                "Proxy.Example=127.0.0.1:8443"
            ])
            .unwrap()
            .resolve
            .contains_key("proxy.example")
        );
    }

    #[test]
    fn the_default_timeout_is_that_of_kms() {
        let simulator = KmsSimulator::try_parse_from(["kms-simulator"]).unwrap();
        assert_eq!(
            simulator.settings().unwrap().timeout,
            Duration::from_millis(250)
        );
    }

    #[test]
    fn values_have_forms() {
        for bad in [
            ["--resolve", "a"],
            ["--resolve", "a=b"],
            ["--timeout", "0s"],
            ["--quota", "0"],
            ["--vpc-endpoint-service", "name"],
            ["--vpc-endpoint-service", "name=1"],
            ["--vpc-endpoint-service", "=111122223333"],
            ["--vpc-endpoint-service", "name=111122223333,"],
            ["--health-interval", "x"],
        ] {
            assert!(
                KmsSimulator::try_parse_from([&["kms-simulator"], &bad[..]].concat()).is_err(),
                "{bad:?}"
            );
        }
    }
}
