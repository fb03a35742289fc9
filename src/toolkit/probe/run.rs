//! The order of the checks: those without a connection, then name, TCP, TLS and certificates, then signed requests. Checks that an earlier
//! failure prevents are reported as skipped, so that all runs have the same lines.

use std::io;
use std::net::SocketAddr;

use super::calls;
use super::findings::Findings;
use super::report::{Check, Report};
use super::settings::Settings;
use super::{rules, wire};
use crate::client::{Caller, TlsClient, Trust};
use crate::sigv4::{Credential, Signer};

/// Makes every check, and calls `on_check` after each.
///
/// # Errors
/// The system has no threads, or the client certificate does not match its key.
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
        findings.skip(&wire::CERTIFICATE_CHECKS, "the TLS connection failed");
        findings.skip(&calls::CHECKS, "the TLS connection failed");
        return Ok(());
    };
    let presented = &connection.handshake().chain;
    wire::check_certificates(
        presented,
        &caller.host,
        &authorities,
        trusted.as_ref(),
        findings,
    );
    match is_signed {
        true => calls::make(connection, &caller, key.as_deref(), samples, findings).await,
        false => findings.skip(&calls::CHECKS, "the credential has a wrong form"),
    }
    Ok(())
}

fn caller(settings: Settings, address: SocketAddr) -> io::Result<Caller> {
    let tls = TlsClient::new(Trust::Anyone, settings.identity).map_err(io::Error::other)?;
    // A credential with a wrong form signs nothing: calls are skipped, and the placeholder is never used.
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
