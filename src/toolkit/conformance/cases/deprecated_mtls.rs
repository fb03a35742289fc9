//! Section 2, group `deprecated-mtls`: client certificates. AWS deprecates mTLS, so these cases run only if the operator gives the mode of
//! the proxy. The mode determines the expected result: only mode required ends connections without a valid certificate.

use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::super::body::Op;
use super::super::case::{Case, must, should};
use super::super::case_error::{CaseError, StepResult, violation};
use super::super::check;
use super::super::context::Context;
use super::super::target::ClientAuth;
use super::super::wire::{
    Connection, HANDSHAKE_FAILURE, Response, Tls, TlsVersion, received_alert,
};
use super::tls::only;
use crate::client::ClientIdentity;

type Make = fn(&Context<'_>) -> IdentityResult;
type IdentityResult = Result<Option<Arc<ClientIdentity>>, CaseError>;

/// The subject of generated certificates if no valid certificate was given.
const ANY_SUBJECT: &str = "cks.kms.us-east-1.amazonaws.com";

/// The certificates that are sent instead of the valid one.
const BAD: [(&str, &str, Make); 6] = [
    ("none", "no certificate", |_| Ok(None)),
    (
        "self-signed",
        "a self-signed certificate with the right subject",
        |context| generated_identity(context, self_signed),
    ),
    (
        "other-authority",
        "a certificate with the right subject from another authority",
        |context| generated_identity(context, |name| issued(name, |_| {})),
    ),
    (
        "expired",
        "an expired certificate with the right subject",
        |context| {
            generated_identity(context, |name| {
                issued(name, |params| {
                    params.not_after = date_time_ymd(2020, 12, 31)
                })
            })
        },
    ),
    (
        "server-auth-only",
        "a certificate with the right authority and subject, for servers only",
        |context| {
            given(
                &context.target.server_auth_only,
                "--server-auth-only-certificate",
            )
        },
    ),
    (
        "wrong-subject",
        "a certificate from the right authority with another subject",
        |context| given(&context.target.wrong_subject, "--wrong-subject-certificate"),
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![must(
        "2",
        "deprecated-mtls-certificate-is-no-signature",
        "the valid client certificate, and no signature",
        "401 AuthenticationFailedException",
        |context| {
            mode(context)?;
            valid_identity(context)?;
            let body = context.plain_body(Op::Health).to_string();
            let answer = context.send(&context.unsigned(Op::Health, "", body))?;
            check::error(&answer, &[check::AUTHENTICATION])
        },
    )];
    for (version_name, version) in [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)] {
        let sent = format!("the valid certificate, over TLS {version_name}");
        cases.push(must(
            "2",
            format!("deprecated-mtls-right-tls-{version_name}"),
            sent,
            "200",
            move |context| {
                mode(context)?;
                valid_identity(context)?;
                served(attempt(
                    context,
                    version,
                    context.target.tls.identity.clone(),
                )?)
            },
        ));
        for (name, sent, make) in BAD {
            let sent = format!("{sent}, over TLS {version_name}");
            cases.push(must(
                "2",
                format!("deprecated-mtls-{name}-tls-{version_name}"),
                &sent,
                "mode required: the handshake is terminated; optional and off: 200",
                move |context| matches_mode(context, version, make),
            ));
            if name != "none" {
                cases.push(alert_case(name, sent, (version_name, version), make));
            }
        }
    }
    cases
}

fn alert_case(
    name: &str,
    sent: String,
    (version_name, version): (&str, TlsVersion),
    make: Make,
) -> Case {
    should(
        "2",
        format!("deprecated-mtls-{name}-alert-tls-{version_name}"),
        sent,
        "mode required: the alert handshake_failure",
        move |context| {
            if mode(context)? != ClientAuth::Required {
                let reason = "only mode required ends the handshake";
                return Err(CaseError::Skipped(reason.into()));
            }
            let error = ended(attempt(context, version, make(context)?)?)?;
            check::ensure(received_alert(&error) == Some(HANDSHAKE_FAILURE), || {
                error.to_string()
            })
        },
    )
}

/// Returns the mode of the proxy, which determines the expected results.
fn mode(context: &Context<'_>) -> Result<ClientAuth, CaseError> {
    let reason = || CaseError::Skipped("--client-auth-mode was not given".into());
    context.target.client_auth.ok_or_else(reason)
}

fn valid_identity<'a>(context: &'a Context<'_>) -> Result<&'a ClientIdentity, CaseError> {
    let reason = || CaseError::Skipped("--client-certificate was not given".into());
    context.target.tls.identity.as_deref().ok_or_else(reason)
}

fn given(identity: &Option<Arc<ClientIdentity>>, option: &str) -> IdentityResult {
    match identity {
        Some(identity) => Ok(Some(Arc::clone(identity))),
        None => Err(CaseError::Skipped(format!("{option} was not given"))),
    }
}

fn matches_mode(context: &Context<'_>, version: TlsVersion, make: Make) -> StepResult {
    let mode = mode(context)?;
    let outcome = attempt(context, version, make(context)?)?;
    match mode {
        ClientAuth::Required => ended(outcome).map(drop),
        ClientAuth::Optional | ClientAuth::Off => served(outcome),
    }
}

/// Makes a handshake with this certificate and sends a signed health request. In TLS 1.3 the client completes the handshake before the
/// server has verified its certificate, so only a response shows the result.
fn attempt(
    context: &Context<'_>,
    version: TlsVersion,
    identity: Option<Arc<ClientIdentity>>,
) -> Result<io::Result<Option<Response>>, CaseError> {
    let tls = Tls {
        identity,
        ..only(&context.target.tls, version)
    };
    let config = tls
        .config()
        .map_err(|error| CaseError::Skipped(error.to_string()))?;
    let body = context.plain_body(Op::Health).to_string();
    let request = context.signed(Op::Health, "", body);
    let outcome = Connection::open(&context.target.endpoint, config)
        .and_then(|mut connection| connection.exchange(&request));
    context.remember(
        "a handshake and a signed health request",
        format!("{outcome:?}"),
    );
    Ok(outcome)
}

/// Returns how the connection ended. An open connection is a violation.
fn ended(outcome: io::Result<Option<Response>>) -> Result<io::Error, CaseError> {
    match outcome {
        Ok(Some(answer)) => violation(format!("the handshake succeeded; status {}", answer.status)),
        Ok(None) => Ok(io::Error::other(
            "the proxy closed the connection without an alert",
        )),
        Err(error) => Ok(error),
    }
}

fn served(outcome: io::Result<Option<Response>>) -> StepResult {
    match outcome {
        Ok(Some(answer)) => check::success(&answer).map(drop),
        Ok(None) => violation("the proxy closed the connection without a response"),
        Err(error) => violation(format!("no response: {error}")),
    }
}

/// Returns a generated identity with the common name of the valid certificate, if one was given.
fn generated_identity(
    context: &Context<'_>,
    make: impl FnOnce(&str) -> Result<ClientIdentity, rcgen::Error>,
) -> IdentityResult {
    let valid_identity = context.target.tls.identity.as_deref();
    let name = valid_identity.and_then(|identity| common_name(identity.certificate()));
    match make(name.as_deref().unwrap_or(ANY_SUBJECT)) {
        Ok(identity) => Ok(Some(Arc::new(identity))),
        Err(error) => Err(CaseError::Skipped(format!(
            "cannot generate a certificate: {error}"
        ))),
    }
}

fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let mut names = parsed.subject().iter_common_name();
    names.next()?.as_str().ok().map(str::to_owned)
}

fn params(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn self_signed(name: &str) -> Result<ClientIdentity, rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = params(name)?.self_signed(&key)?;
    Ok(ClientIdentity::from_der(
        certificate.der().to_vec(),
        key.serialize_der(),
    ))
}

fn issued(
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> Result<ClientIdentity, rcgen::Error> {
    let mut authority = params("Another Client CA")?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let (mut params, key) = (params(name)?, KeyPair::generate()?);
    change(&mut params);
    let certificate = params.signed_by(&key, &authority)?;
    Ok(ClientIdentity::from_der(
        certificate.der().to_vec(),
        key.serialize_der(),
    ))
}
