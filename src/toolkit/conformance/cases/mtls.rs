//! Section 2: client certificates. The cases need the right certificate: without it, nobody knows whether mTLS is on.

use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::super::case::{Case, Fault, must, should, violation};
use super::super::check;
use super::super::scene::{Op, Scene, plain_body};
use super::tls::only;
use crate::client::ClientIdentity;
use crate::client::raw::{Connection, HANDSHAKE_FAILURE, Tls, TlsVersion, alert_of};

type Make = fn(&Scene<'_>) -> Made;
type Made = Result<Option<Arc<ClientIdentity>>, Fault>;

/// What is shown instead of the right certificate.
const BAD: [(&str, &str, Make); 6] = [
    ("none", "no certificate", |_| Ok(None)),
    (
        "self-signed",
        "a self-signed certificate of the right subject",
        |scene| made(scene, self_signed),
    ),
    (
        "other-authority",
        "a certificate of the right subject by another authority",
        |scene| made(scene, |name| issued(name, |_| {})),
    ),
    (
        "expired",
        "an expired certificate of the right subject",
        |scene| {
            made(scene, |name| {
                issued(name, |params| {
                    params.not_after = date_time_ymd(2020, 12, 31)
                })
            })
        },
    ),
    (
        "server-only",
        "a certificate of the right subject for servers only",
        |scene| {
            made(scene, |name| {
                issued(name, |params| {
                    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                })
            })
        },
    ),
    (
        "wrong-subject",
        "a certificate of the right authority for another subject",
        |scene| match &scene.target.wrong_subject {
            Some(identity) => Ok(Some(Arc::clone(identity))),
            None => Err(Fault::Skipped(
                "--wrong-subject-certificate was not given".into(),
            )),
        },
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![must(
        "2",
        "mtls-certificate-is-no-signature",
        "the right client certificate, and no signature",
        "401 AuthenticationFailedException",
        |scene| {
            right(scene)?;
            let body = plain_body(Op::Health).to_string();
            let answer = scene.send(&scene.unsigned(Op::Health, "", body))?;
            check::error(&answer, &[check::AUTHENTICATION])
        },
    )];
    for (version_name, version) in [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)] {
        for (name, sent, make) in BAD {
            let sent = format!("{sent}, over TLS {version_name}");
            cases.push(must(
                "2",
                format!("mtls-{name}-refused-tls-{version_name}"),
                &sent,
                "the handshake is terminated",
                move |scene| ended(scene, version, make).map(drop),
            ));
            if name == "none" {
                continue;
            }
            cases.push(should(
                "2",
                format!("mtls-{name}-alert-tls-{version_name}"),
                sent,
                "the alert handshake_failure",
                move |scene| {
                    let error = ended(scene, version, make)?;
                    check::that(alert_of(&error) == Some(HANDSHAKE_FAILURE), || {
                        error.to_string()
                    })
                },
            ));
        }
    }
    cases
}

fn right<'a>(scene: &'a Scene<'_>) -> Result<&'a ClientIdentity, Fault> {
    let reason = || Fault::Skipped("--client-certificate was not given".into());
    scene.target.tls.identity.as_deref().ok_or_else(reason)
}

/// How the connection ended. In TLS 1.3 the client is done before the server has judged it, so an answer has to be asked for.
fn ended(scene: &Scene<'_>, version: TlsVersion, make: Make) -> Result<io::Error, Fault> {
    right(scene)?;
    let tls = Tls {
        identity: make(scene)?,
        ..only(&scene.target.tls, version)
    };
    let config = tls
        .config()
        .map_err(|error| Fault::Skipped(error.to_string()))?;
    let body = plain_body(Op::Health).to_string();
    let request = scene.signed(Op::Health, "", body);
    let outcome = Connection::open(&scene.target.place, config)
        .and_then(|mut connection| connection.exchange(&request));
    scene.remember(
        "a handshake and a signed health request",
        format!("{outcome:?}"),
    );
    match outcome {
        Ok(Some(answer)) => violation(format!("the handshake succeeded; status {}", answer.status)),
        Ok(None) => Ok(io::Error::other(
            "the connection was closed without an alert",
        )),
        Err(error) => Ok(error),
    }
}

/// An identity with the common name of the right one.
fn made(
    scene: &Scene<'_>,
    make: impl FnOnce(&str) -> Result<ClientIdentity, rcgen::Error>,
) -> Made {
    let name = common_name(right(scene)?.certificate());
    let name = name.ok_or_else(|| Fault::Skipped("the certificate has no common name".into()))?;
    match make(&name) {
        Ok(identity) => Ok(Some(Arc::new(identity))),
        Err(error) => Err(Fault::Skipped(format!(
            "no certificate could be made: {error}"
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
