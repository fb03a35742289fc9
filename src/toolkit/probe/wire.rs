//! Checks of the name, TCP, TLS, and the presented certificates.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::timeout;

use super::assessment;
use super::authority::{self, Anchors};
use super::certificate::{Facts, expiry, name};
use super::findings::Findings;
use super::report::Check;
use super::settings::Settings;
use super::trust::TrustedRoots;
use crate::client::{CallError, Caller, ChainError, Connection, authorities, verify_chain};

/// The checks of [`connect`] and [`check_certificates`], in order.
pub const CHECKS: [&str; 8] = [
    "TCP",
    "round trip",
    "TLS",
    "suite",
    "chain",
    "authority",
    "name",
    "expiry",
];

/// The checks of [`check_certificates`], in order.
pub const CERTIFICATE_CHECKS: [&str; 4] = ["chain", "authority", "name", "expiry"];

/// The timeout of each step. A slower connection is useless for KMS.
const PATIENCE: Duration = Duration::from_secs(5);

/// The number of TCP connects that measure the round trip.
const DIALS: u32 = 3;

/// The files with the roots of the machine on Debian, Red Hat and Alpine.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Returns the first IPv4 address of the host, or the address of `--connect`.
pub async fn resolve(settings: &Settings, findings: &mut Findings<'_>) -> Option<SocketAddr> {
    if let Some(address) = settings.address {
        let why = format!("not resolved because of --connect {address}");
        findings.skip(&["DNS"], &why);
        return Some(address);
    }
    look_up(&settings.host, settings.port, findings).await
}

async fn look_up(host: &str, port: u16, findings: &mut Findings<'_>) -> Option<SocketAddr> {
    const NAME: &str = "DNS";
    const ACTION: &str = "give the name an A record: KMS connects over IPv4";
    let found = match timeout(PATIENCE, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found.filter(SocketAddr::is_ipv4).collect::<Vec<_>>(),
        Ok(Err(error)) => {
            findings.add(Check::fail(NAME, format!("{host}: {error}"), ACTION));
            return None;
        }
        Err(_) => {
            findings.add(Check::fail(
                NAME,
                format!("{host}: no response within 5 s"),
                ACTION,
            ));
            return None;
        }
    };
    match found.first() {
        Some(first) => {
            let mut addresses: Vec<String> = found.iter().map(|a| a.ip().to_string()).collect();
            addresses.dedup();
            findings.add(Check::ok(NAME, addresses.join(", ")));
            Some(*first)
        }
        None => {
            findings.add(Check::fail(
                NAME,
                format!("{host} has no IPv4 address"),
                ACTION,
            ));
            None
        }
    }
}

/// Checks TCP, the round trip, and TLS.
pub async fn connect(caller: &Caller, findings: &mut Findings<'_>) -> Option<Connection> {
    if let Err(check) = round_trips(caller, findings).await {
        findings.add(check);
        findings.skip(&["round trip", "TLS", "suite"], "the TCP connection failed");
        return None;
    }
    let connected = timeout(PATIENCE, caller.connect()).await;
    let error = match connected {
        Ok(Ok(connection)) => {
            let agreed = connection.handshake();
            let took = (agreed.tcp + agreed.tls).as_secs_f64() * 1e3;
            findings.add(Check::ok(
                "TLS",
                format!("{}, handshake in {took:.1} ms", agreed.version),
            ));
            findings.add(Check::ok("suite", agreed.suite.clone()));
            return Some(connection);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the handshake took longer than 5 s".to_owned(),
    };
    findings.add(Check::fail("TLS", error, "KMS needs TLS 1.2 or 1.3 with one of TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, ECDHE-RSA- or ECDHE-ECDSA-AES256-GCM-SHA384 on this port; behind mTLS a client certificate that the proxy accepts (--client-certificate)"));
    findings.skip(&["suite"], "the TLS connection failed");
    None
}

async fn round_trips(caller: &Caller, findings: &mut Findings<'_>) -> Result<(), Check> {
    const ACTION: &str = "check firewalls, security groups and the load balancer's targets, and that the proxy listens there";
    let mut quickest = Duration::MAX;
    for _ in 0..DIALS {
        let start = Instant::now();
        let error = match timeout(PATIENCE, caller.dial()).await {
            Ok(Ok(_)) => None,
            Ok(Err(CallError::Connect(error))) => Some(error.to_string().to_lowercase()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no response within 5 s".to_owned()),
        };
        if let Some(error) = error {
            return Err(Check::fail(
                "TCP",
                format!("{}: {error}", caller.address),
                ACTION,
            ));
        }
        quickest = quickest.min(start.elapsed());
    }
    findings.add(Check::ok("TCP", caller.address.to_string()));
    findings.add(assessment::round_trip(quickest));
    Ok(())
}

/// Checks chain, authority, name and expiry.
pub fn check_certificates(
    presented: &[Vec<u8>],
    host: &str,
    authorities: &[Vec<u8>],
    trusted: Option<&TrustedRoots>,
    findings: &mut Findings<'_>,
) {
    let read: Option<Vec<Facts>> = presented.iter().map(|der| Facts::read(der)).collect();
    let facts = read.unwrap_or_default();
    let Some(leaf) = facts.first() else {
        findings.skip(
            &CERTIFICATE_CHECKS,
            "the server presented no certificate that can be parsed",
        );
        return;
    };
    let machine = roots_of_this_machine(authorities);
    let roots_presented = presented.iter().filter(|der| is_root(der)).cloned();
    let known: Vec<Vec<u8>> = machine.iter().cloned().chain(roots_presented).collect();
    let anchors = Anchors {
        accepted: match trusted {
            Some(trusted) => trusted.anchors(known.iter().map(Vec::as_slice)),
            None => machine,
        },
        known,
        trusted,
        has_given: !authorities.is_empty(),
    };
    // Expiry is a separate check: this check verifies the chain at a time at which the server's certificate was valid.
    let at = leaf.valid_moment(SystemTime::now());
    let (chain, authority) = match verify_chain(presented, &anchors.accepted, at) {
        Ok(()) => authority::complete(presented, &facts, &anchors, at),
        Err(ChainError::NoPath) => authority::no_path(presented, &facts, &anchors, at),
        Err(ChainError::Other(error)) => (
            Check::fail(
                "chain",
                error,
                "order a certificate for TLS servers, and present it with its intermediates",
            ),
            Check::skipped("authority", "the chain is not valid"),
        ),
    };
    findings.add(chain);
    findings.add(authority);
    findings.add(name(leaf, host));
    findings.add(expiry(&facts, SystemTime::now()));
}

/// Returns the roots of this machine and the given ones.
fn roots_of_this_machine(more: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let bundle = BUNDLES
        .iter()
        .find_map(|file| std::fs::read_to_string(file).ok());
    let mut roots = authorities(bundle.unwrap_or_default().as_bytes()).unwrap_or_default();
    roots.extend(more.iter().cloned());
    roots
}

fn is_root(der: &[u8]) -> bool {
    Facts::read(der).is_some_and(|facts| facts.is_self_issued())
}
