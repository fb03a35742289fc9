//! Unverified connections do not block KMS: the order of displacement at the limits. Strangers connect from 127.0.0.2 and higher addresses, KMS from
//! 127.0.0.1. A stranger is a client without a verified request.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::harness::http::{Connection, Request, plain, tcp, tcp_from};
use crate::harness::metrics::eventually;
use crate::harness::setup::Setup;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PAYMENTS, Proxy};

const KMS: Ipv4Addr = Ipv4Addr::LOCALHOST;
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Starts a proxy with a limit of eight unverified connections.
fn proxy_with(change: impl FnOnce(&mut Setup)) -> Proxy {
    Proxy::start_with(|setup| {
        setup.set("server.limits", "max_unverified", "8");
        setup.set("server.limits", "max_unverified_per_source", "8");
        change(setup);
    })
}

fn health(proxy: &Proxy) -> Request {
    let body = plain_body("health").to_string();
    proxy.caller(&PAYMENTS).request("health", "", body)
}

/// Opens sockets from `source` that send nothing, and waits until all are accepted.
fn silent(proxy: &Proxy, source: Ipv4Addr, count: usize) -> Vec<TcpStream> {
    let before = accepted(proxy);
    let sockets = (0..count).map(|_| tcp_from(source, proxy.server).unwrap());
    let sockets: Vec<_> = sockets.collect();
    eventually("the accept of all sockets", || {
        (accepted(proxy) >= before + count as f64).then_some(())
    });
    sockets
}

fn accepted(proxy: &Proxy) -> f64 {
    open(proxy, "") + closed(proxy, "")
}

fn open(proxy: &Proxy, state: &str) -> f64 {
    sum(proxy, "xks_connections", "state", state)
}

fn closed(proxy: &Proxy, reason: &str) -> f64 {
    sum(proxy, "xks_connections_closed_total", "reason", reason)
}

fn sum(proxy: &Proxy, name: &str, label: &str, value: &str) -> f64 {
    let server = ("listener", "server");
    let labels = [server, (label, value)];
    let labels = if value.is_empty() {
        &labels[..1]
    } else {
        &labels
    };
    proxy.metric(name, labels).unwrap()
}

/// Opens a connection from `source` and completes its handshake.
fn connect_from(proxy: &Proxy, source: Ipv4Addr) -> Connection {
    let socket = tcp_from(source, proxy.server).unwrap();
    Connection::over(socket, Arc::clone(&proxy.client)).unwrap()
}

/// Opens a connection from `source` and sends an unsigned request.
fn unverified_from(proxy: &Proxy, source: Ipv4Addr) -> Connection {
    let mut connection = connect_from(proxy, source);
    let unsigned = proxy.caller(&PAYMENTS).unsigned("health", "", "{}");
    let response = connection.exchange(&unsigned);
    response.assert_error(401, "AuthenticationFailedException");
    connection
}

#[test]
fn silent_sockets_do_not_block_kms() {
    let proxy = proxy_with(|_| {});
    let sockets = silent(&proxy, STRANGER, 40);
    assert!(open(&proxy, "handshake") <= 8.0);
    assert_eq!(closed(&proxy, "displaced_silent"), 32.0);
    for _ in 0..5 {
        proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    }
    drop(sockets);
    let lines = proxy.daemon.log();
    let about_closed = |line: &&String| line.contains("limit of connections is reached");
    let lines = lines.iter().filter(about_closed).count();
    assert!(
        (1..=5).contains(&lines),
        "{lines} lines about 36 closed connections"
    );
}

#[test]
fn idle_connections_without_a_verified_request_do_not_block_kms() {
    let proxy = proxy_with(|_| {});
    let idle: Vec<_> = (0..20)
        .map(|n| unverified_from(&proxy, Ipv4Addr::new(127, 0, 0, 2 + n % 3)))
        .collect();
    assert_eq!(closed(&proxy, "displaced_unverified"), 12.0);
    for _ in 0..5 {
        proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    }
    drop(idle);
}

#[test]
fn strangers_do_not_displace_verified_connections() {
    let proxy = proxy_with(|_| {});
    let mut verified: Vec<Connection> = (0..4).map(|_| proxy.connect()).collect();
    for connection in &mut verified {
        connection.exchange(&health(&proxy)).ok();
    }
    let mut strangers = silent(&proxy, STRANGER, 30);
    strangers.extend(silent(&proxy, KMS, 30));
    let idle: Vec<_> = (0..20).map(|_| unverified_from(&proxy, STRANGER)).collect();
    assert_eq!(open(&proxy, "verified"), 4.0);
    for connection in &mut verified {
        connection.exchange(&health(&proxy)).ok();
    }
    assert_eq!(closed(&proxy, "displaced_verified"), 0.0);
    drop((strangers, idle));
}

#[test]
fn silent_connections_are_displaced_before_established_ones() {
    let proxy = proxy_with(|_| {});
    let mut established = unverified_from(&proxy, STRANGER);
    let sockets = silent(&proxy, STRANGER, 40);
    established.exchange(&health(&proxy)).ok();
    drop(sockets);
}

#[test]
fn a_handshake_that_progresses_is_not_displaced() {
    let proxy = proxy_with(|_| {});
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = ClientConnection::new(Arc::clone(&proxy.client), name).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    let mut socket = tcp(proxy.server).unwrap();
    let (half, rest) = hello.split_at(hello.len() / 2);
    socket.write_all(half).unwrap();
    // The handshake is older than all of these and of the same source, but more advanced.
    let sockets = silent(&proxy, KMS, 40);
    socket.write_all(rest).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).expect("a handshake");
    }
    drop(sockets);
}

#[test]
fn each_source_has_a_limit_unless_it_is_known_or_shared() {
    let proxy = proxy_with(|setup| {
        setup.set("server.limits", "max_unverified", "100");
        setup.set("server.limits", "shared_sources", "[\"127.0.0.3/32\"]");
    });
    let mut verified = proxy.connect();
    verified.exchange(&health(&proxy)).ok();
    let before = closed(&proxy, "displaced_silent");
    let shared = silent(&proxy, Ipv4Addr::new(127, 0, 0, 3), 20);
    let known = silent(&proxy, KMS, 20);
    assert_eq!(closed(&proxy, "displaced_silent"), before);
    let stranger = silent(&proxy, STRANGER, 20);
    assert_eq!(closed(&proxy, "displaced_silent"), before + 12.0);
    let unknown = [("reason", "displaced_silent"), ("source", "unknown")];
    let displaced = proxy.metric("xks_connections_closed_total", &unknown);
    assert_eq!(displaced, Some(12.0));
    drop((verified, shared, known, stranger));
}

#[test]
fn at_max_connections_the_verified_connection_that_is_idle_longest_is_closed() {
    let mut proxy = proxy_with(|setup| setup.set("server.limits", "max_connections", "2"));
    let mut verified: Vec<Connection> = (0..2).map(|_| proxy.connect()).collect();
    for index in [0, 1, 0] {
        verified[index].exchange(&health(&proxy)).ok();
    }
    let mut third = proxy.connect();
    third.exchange(&health(&proxy)).ok();
    verified[1].assert_closes();
    verified[0].exchange(&health(&proxy)).ok();
    assert_eq!(closed(&proxy, "displaced_verified"), 1.0);
    proxy.reconfigure(|setup| setup.set("server.limits", "max_connections", "3"));
    let mut fourth = proxy.connect();
    fourth.exchange(&health(&proxy)).ok();
    third.exchange(&health(&proxy)).ok();
    verified[0].exchange(&health(&proxy)).ok();
    let limit = [("listener", "server"), ("state", "verified")];
    assert_eq!(proxy.metric("xks_connections_limit", &limit), Some(3.0));
}

#[test]
fn a_reload_changes_the_limits_of_unverified_connections() {
    let mut proxy = proxy_with(|_| {});
    let before = silent(&proxy, STRANGER, 8);
    proxy.reconfigure(|setup| setup.set("server.limits", "max_unverified", "3"));
    let after = silent(&proxy, STRANGER, 1);
    assert_eq!(open(&proxy, "handshake"), 3.0);
    drop((before, after));
}

#[test]
fn a_displaced_connection_is_closed_at_once() {
    let proxy = proxy_with(|_| {});
    let mut sockets = silent(&proxy, STRANGER, 9);
    // This time is far longer than the proxy may need, and shorter than its idle timeout.
    sockets[0]
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let ended = match sockets[0].read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    };
    assert!(ended, "a displaced connection is still open");
}

#[test]
fn many_connections_to_the_admin_listener_do_not_block_health_checks() {
    let proxy = Proxy::start();
    let connections: Vec<TcpStream> = (0..600)
        .map(|number| {
            let mut socket = tcp(proxy.admin).unwrap();
            if number % 2 == 0 {
                // The connection may have been displaced already.
                let _ = socket.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
            }
            socket
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(plain(proxy.admin, "GET", "/readyz").status, 200);
    }
    proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &encrypt_body(b"x"));
    let open = proxy.metric("xks_connections", &[("listener", "admin")]);
    assert!(open <= Some(256.0), "{open:?}");
    drop(connections);
}
