//! Wrong headers during legitimate traffic. Run it with `cargo test --test proxy proxy_protocol::load -- --ignored --nocapture`.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::count;
use crate::harness::balancer::{
    Balancer, ENDPOINT, endpoint_tlv, header, local, require, with_crc,
};
use crate::harness::http::Connection;
use crate::harness::load::Stop;
use crate::harness::wire::plain_body;
use crate::harness::{PAYMENTS, Proxy};

const LENGTH: Duration = Duration::from_secs(60);

/// Attacks per second.
const RATE: u32 = 200;

/// Returns the first bytes of an attack. In turn they are a valid header, LOCAL, malformed, a wrong checksum, incomplete, empty, and a header with the
/// endpoint of KMS before bytes that are not TLS.
fn attack(n: u32) -> Vec<u8> {
    let client = format!("10.9.{}.{}:1", n / 250 % 250, n % 250);
    let client = client.parse().unwrap();
    let with_tlvs = |tlvs: &[u8]| header(client, "10.20.0.5:443".parse().unwrap(), tlvs);
    let spoofed = with_tlvs(&endpoint_tlv(ENDPOINT));
    match n % 7 {
        0 => [with_crc(with_tlvs(&[])), vec![0x16, 3, 1, 0, 200, 1]].concat(),
        1 => local(),
        2 => [&b"PROXY TCP4 10.0.0.1 10.0.0.2 1 443\r\n"[..], &[0x16]].concat(),
        3 => {
            let mut wrong = with_crc(spoofed);
            wrong[17] ^= 1;
            wrong
        }
        4 => spoofed[..40].to_vec(),
        5 => Vec::new(),
        _ => [&spoofed[..], &spoofed].concat(),
    }
}

#[test]
#[ignore = "a load run, which needs a machine without other work"]
fn two_hundred_wrong_headers_per_second_do_not_affect_legitimate_requests() {
    let mut proxy = Proxy::start_with(require);
    let balancer = Balancer::before(&mut proxy);
    let (stop, served, failed) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    let attacks = thread::scope(|scope| {
        let _stop = Stop(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    match is_served(&proxy) {
                        true => served.fetch_add(1, Ordering::Relaxed),
                        false => failed.fetch_add(1, Ordering::Relaxed),
                    };
                    thread::sleep(Duration::from_millis(50));
                }
            });
        }
        let (began, mut attacks, mut open) = (Instant::now(), 0, Vec::new());
        while began.elapsed() < LENGTH {
            let due = began + Duration::from_secs(1) / RATE * attacks;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            open.push(balancer.send(&attack(attacks)));
            // Each connection is kept for three seconds, which is longer than the proxy waits for a header.
            if open.len() > 3 * RATE as usize {
                open.remove(0);
            }
            attacks += 1;
        }
        attacks
    });
    let (served, failed) = (served.into_inner(), failed.into_inner());
    let results = [
        "ok",
        "local",
        "empty",
        "untrusted",
        "malformed",
        "crc",
        "timeout",
    ];
    let results = results.map(|result| format!("{result} {}", count(&proxy, result)));
    eprintln!(
        "{attacks} attacks in {LENGTH:?}; legitimate: {served} served, {failed} failed; {}",
        results.join(", ")
    );
    assert!(attacks >= RATE * 50, "the attack was too slow");
    assert!(served > 100);
    assert_eq!(failed, 0);
}

/// Returns whether a request on a new connection is served.
fn is_served(proxy: &Proxy) -> bool {
    let body = plain_body("health").to_string();
    let request = proxy.caller(&PAYMENTS).request("health", "", body);
    let Ok(mut connection) = proxy.try_connect() else {
        return false;
    };
    let sent = connection.send(&request.bytes());
    let is_ok = |connection: &mut Connection| matches!(connection.try_response(), Ok(Some(response)) if response.status == 200);
    sent.is_ok() && is_ok(&mut connection)
}
