//! The order of the checks: what needs no connection, then name, TCP, TLS, certificates, and at last signed requests. What a failure
//! makes impossible is said to be skipped, so that two runs have the same lines.

use std::io;
use std::net::SocketAddr;

use super::calls;
use super::report::{Check, Report};
use super::trust::TrustedRoots;
use super::{rules, wire};
use crate::client::{Caller, ClientIdentity, TlsClient, Trust};
use crate::sigv4::{Credential, CredentialError, Signer};

/// What is probed.
pub struct Settings {
    /// The host of the endpoint.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where to connect instead of where the name leads.
    pub address: Option<SocketAddr>,
    /// The `XksProxyUriPath`.
    pub path: String,
    /// The Region of the key store.
    pub region: String,
    /// The service of the credential scope.
    pub service: &'static str,
    /// The credential, or which of its rules it breaks.
    pub credential: Result<Credential, CredentialError>,
    /// Authorities (DER) besides those of this machine.
    pub authorities: Vec<Vec<u8>>,
    /// The client certificate to show.
    pub identity: Option<ClientIdentity>,
    /// Whom KMS trusts.
    pub trusted: Option<TrustedRoots>,
    /// A key to use.
    pub key: Option<String>,
    /// Requests of each operation.
    pub samples: u32,
}

/// The checks as they are made.
pub(super) struct Findings<'a> {
    report: Report,
    on_check: &'a mut dyn FnMut(&Check),
}

impl Findings<'_> {
    pub(super) fn add(&mut self, check: Check) {
        (self.on_check)(&check);
        self.report.checks.push(check);
    }

    pub(super) fn skip(&mut self, names: &[&'static str], why: &str) {
        for name in names {
            self.add(Check::skipped(name, why));
        }
    }
}

/// Makes every check; `on_check` sees each as soon as it is made.
///
/// # Errors
/// The machine's: no threads, or a client certificate that does not fit its key.
pub fn run(settings: Settings, mut on_check: impl FnMut(&Check)) -> io::Result<Report> {
    let mut findings = Findings {
        report: Report::default(),
        on_check: &mut on_check,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(probe(settings, &mut findings))?;
    Ok(findings.report)
}

async fn probe(settings: Settings, findings: &mut Findings<'_>) -> io::Result<()> {
    findings.add(rules::endpoint(&settings.host, settings.port));
    findings.add(rules::path(&settings.path));
    findings.add(rules::region(&settings.region));
    findings.add(rules::credential(
        settings.credential.as_ref().err().copied(),
    ));
    let Some(address) = wire::resolve(&settings, findings).await else {
        findings.skip(&wire::CHECKS, "the name has no address");
        findings.skip(&calls::CHECKS, "the name has no address");
        return Ok(());
    };
    let Settings {
        authorities,
        trusted,
        key,
        samples,
        ..
    } = &settings;
    let (authorities, trusted, key, samples) =
        (authorities.clone(), trusted.clone(), key.clone(), *samples);
    let is_signed = settings.credential.is_ok();
    let caller = caller(settings, address)?;
    let Some(connection) = wire::connect(&caller, findings).await else {
        findings.skip(&wire::CERTIFICATE_CHECKS, "there is no TLS connection");
        findings.skip(&calls::CHECKS, "there is no TLS connection");
        return Ok(());
    };
    let presented = &connection.handshake().chain;
    wire::judge_certificates(
        presented,
        &caller.host,
        &authorities,
        trusted.as_ref(),
        findings,
    );
    match is_signed {
        true => calls::make(connection, &caller, key.as_deref(), samples, findings).await,
        false => findings.skip(&calls::CHECKS, "there is no credential to sign with"),
    }
    Ok(())
}

fn caller(settings: Settings, address: SocketAddr) -> io::Result<Caller> {
    let tls = TlsClient::new(Trust::Anyone, settings.identity).map_err(io::Error::other)?;
    // A credential that breaks its rules signs nothing: the placeholder is never used, because such calls are skipped.
    let credential = settings.credential.or_else(|_| {
        let secret = crate::secret::Secret::new("=".repeat(43));
        Credential::new("AAAAAAAAAAAAAAAAAAAA", secret)
    });
    Ok(Caller {
        address,
        host: settings.host,
        named_port: settings.port,
        path: settings.path,
        signer: Signer::new(
            credential.map_err(io::Error::other)?,
            &settings.region,
            settings.service,
        ),
        tls,
    })
}
