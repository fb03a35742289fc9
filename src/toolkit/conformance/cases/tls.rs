//! Section 2: TLS versions and suites.

use super::super::body::Op;
use super::super::case::{Case, must, should};
use super::super::case_error::{StepResult, violation};
use super::super::check;
use super::super::context::Context;
use super::super::wire::{Hello, ServerReply, Suite, Tls, TlsVersion, greet};

/// TLS 1.2 suites that the specification does not allow.
const WEAK: [(&str, &[u16]); 6] = [
    ("null", &[0x0001, 0x0002, 0x003b, 0xc006, 0xc010]),
    ("anonymous", &[0x0034, 0x006c, 0x00a7, 0xc019]),
    ("rc4", &[0x0004, 0x0005, 0xc007, 0xc011]),
    ("3des", &[0x000a, 0xc008, 0xc012]),
    (
        "rsa-key-transport",
        &[0x009c, 0x009d, 0x002f, 0x0035, 0x003c, 0x003d],
    ),
    (
        "cbc",
        &[
            0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc024, 0xc027, 0xc028,
        ],
    ),
];

/// The suites that an old client offers.
const OLD: [u16; 8] = [
    0xc009, 0xc00a, 0xc013, 0xc014, 0x002f, 0x0035, 0x000a, 0x0005,
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![must(
        "2",
        "tls-suite-of-the-specification",
        "TLS 1.2 and 1.3 with the four suites of the specification",
        "a handshake and a response",
        |context| is_served(context, &context.target.tls),
    )];
    for (name, version) in [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)] {
        cases.push(should(
            "2",
            format!("tls-{name}-accepted"),
            format!("TLS {name} only"),
            "a handshake and a response",
            move |context| is_served(context, &only(&context.target.tls, version)),
        ));
    }
    for (name, version) in [
        ("ssl-3.0", 0x0300),
        ("tls-1.0", 0x0301),
        ("tls-1.1", 0x0302),
    ] {
        cases.push(must(
            "2",
            format!("{name}-refused"),
            format!("a ClientHello of {name} at most"),
            "an alert or the end of the connection",
            move |context| rejects(context, version, &OLD),
        ));
    }
    cases.extend(WEAK.map(|(name, suites)| {
        should(
            "2",
            format!("tls-{name}-suites-refused"),
            format!("a ClientHello of TLS 1.2 with {name} suites only"),
            "an alert or the end of the connection",
            move |context| rejects(context, 0x0303, suites),
        )
    }));
    cases
}

/// Returns the same settings for one version.
pub(super) fn only(tls: &Tls, version: TlsVersion) -> Tls {
    let mut suites = tls.suites.clone();
    suites.retain(|suite: &Suite| suite.version() == version);
    Tls {
        versions: vec![version],
        suites,
        ..tls.clone()
    }
}

fn is_served(context: &Context<'_>, tls: &Tls) -> StepResult {
    let mut connection = context.connect(tls)?;
    let body = context.plain_body(Op::Health).to_string();
    let answer = context.send_on(&mut connection, &context.signed(Op::Health, "", body))?;
    check::success(&answer).map(drop)
}

fn rejects(context: &Context<'_>, version: u16, suites: &[u16]) -> StepResult {
    let suites = suites.to_vec();
    let reply = greet(&context.target.endpoint, &Hello { version, suites });
    context.remember("ClientHello", format!("{reply:?}"));
    match reply {
        Ok(ServerReply::Alert(_) | ServerReply::Closed) => Ok(()),
        Ok(ServerReply::Accepted { version, suite }) => violation(format!(
            "the server chose version {version:#06x}, suite {suite:#06x}"
        )),
        Ok(ServerReply::Invalid) => {
            violation("the response is neither a TLS alert nor the end of the connection")
        }
        Err(error) => violation(format!("no connection: {error}")),
    }
}
