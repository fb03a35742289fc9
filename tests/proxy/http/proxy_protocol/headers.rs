//! Headers that are rejected, and slow connections.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{await_count, count};
use crate::harness::balancer::{
    Balancer, ENDPOINT, SIGNATURE, closed, endpoint_tlv, header, local, require, tlv, with_crc,
};
use crate::harness::http::{Connection, tcp};
use crate::harness::{PAYMENTS, Proxy};

fn client_header(tlvs: &[u8]) -> Vec<u8> {
    let client: SocketAddr = "10.20.30.40:51442".parse().unwrap();
    header(client, "10.20.0.5:443".parse().unwrap(), tlvs)
}

/// Returns a valid header with this byte at this position.
fn changed(at: usize, byte: u8) -> Vec<u8> {
    let mut header = client_header(&endpoint_tlv(ENDPOINT));
    header[at] = byte;
    header
}

/// The beginning of a ClientHello.
const HELLO: &[u8] = &[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];

fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let id = endpoint_tlv(ENDPOINT);
    let other = client_header(&endpoint_tlv("vpce-ffffffffffffffff0"));
    let twice = [client_header(&id), other].concat();
    vec![
        ("TLS without a header", [HELLO, &[0; 40]].concat()),
        (
            "version 1",
            b"PROXY TCP4 10.20.30.40 10.20.0.5 51442 443\r\n".to_vec(),
        ),
        ("plain HTTP", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("a bad signature", changed(11, b'\r')),
        ("version 1 in binary", changed(12, 0x11)),
        ("version 3", changed(12, 0x31)),
        ("an unknown command", changed(12, 0x22)),
        ("an unspecified family", changed(13, 0x00)),
        ("UDP over IPv4", changed(13, 0x12)),
        ("UDP over IPv6", changed(13, 0x22)),
        ("UNIX stream", changed(13, 0x31)),
        ("IPv6 with the length of IPv4", {
            let mut header = client_header(&[]);
            header[13] = 0x21;
            header
        }),
        ("shorter than its addresses", changed(15, 11)),
        ("over 1,024 bytes", client_header(&tlv(4, &[0; 1_025 - 15]))),
        ("LOCAL over 1,024 bytes", {
            let mut header = client_header(&tlv(4, &[0; 1_025 - 15]));
            header[12] = 0x20;
            header
        }),
        ("a TLV that overruns", client_header(&[4, 0, 2, 0])),
        ("two endpoints", client_header(&[&id[..], &id].concat())),
        (
            "a malformed endpoint",
            client_header(&endpoint_tlv("vpce-UPPER678")),
        ),
        ("a cut header", client_header(&id)[..50].to_vec()),
        ("a cut prefix", SIGNATURE[..7].to_vec()),
        ("a second header", [twice, HELLO.to_vec()].concat()),
        (
            "LOCAL and a header",
            [local(), client_header(&id), HELLO.to_vec()].concat(),
        ),
        (
            "HTTP after a header",
            [&client_header(&id)[..], b"GET / HTTP/1.1\r\n\r\n"].concat(),
        ),
    ]
}

#[test]
fn a_connection_with_a_malformed_header_is_closed_without_a_response() {
    let proxy = Proxy::start_with(require);
    let balancer = Balancer::start(proxy.server);
    for (n, (kind, bytes)) in (1..).zip(malformed()) {
        let socket = balancer.send(&bytes);
        // This ends the headers that are cut.
        let _ = socket.shutdown(std::net::Shutdown::Write);
        assert_eq!(closed(socket), b"", "{kind}");
        await_count(&proxy, "malformed", f64::from(n));
    }
    let mut wrong = with_crc(client_header(&endpoint_tlv(ENDPOINT)));
    wrong[20] ^= 1;
    assert_eq!(closed(balancer.send(&[&wrong[..], HELLO].concat())), b"");
    await_count(&proxy, "crc", 1.0);
    assert_eq!((count(&proxy, "ok"), count(&proxy, "local")), (0.0, 0.0));
    let failed = proxy.metric("xks_tls_handshakes_total", &[("outcome", "failed")]);
    assert_eq!(failed.unwrap_or_default(), 0.0, "no handshake began");
    proxy.daemon.wait_for("the reason in the log", |line| {
        line["message"] == "connections closed because of their PROXY header"
            && line["reason"] == "the connection does not begin with a PROXY protocol v2 header"
    });
}

#[test]
fn an_untrusted_peer_is_closed_before_a_byte_is_read() {
    let proxy = Proxy::start_with(require);
    let socket = tcp(proxy.server).unwrap();
    // The client has sent nothing, and the proxy does not wait for its bytes.
    assert_eq!(closed(socket), b"");
    let mut spoofed = tcp(proxy.server).unwrap();
    let _ = spoofed.write_all(&[&client_header(&endpoint_tlv(ENDPOINT))[..], HELLO].concat());
    assert_eq!(closed(spoofed), b"");
    await_count(&proxy, "untrusted", 2.0);
    assert_eq!(count(&proxy, "ok"), 0.0);
}

#[test]
fn a_client_behind_the_balancer_cannot_add_a_header() {
    let mut proxy = Proxy::start_with(require);
    let balancer = Balancer::before(&mut proxy);
    let mut client = tcp(balancer.address).unwrap();
    let own = client_header(&endpoint_tlv("vpce-ffffffffffffffff0"));
    client.write_all(&[&own[..], HELLO].concat()).unwrap();
    assert_eq!(closed(client), b"");
    await_count(&proxy, "malformed", 1.0);
    assert_eq!(count(&proxy, "ok"), 0.0);
}

#[test]
fn bytes_after_the_header_are_left_for_tls() {
    let proxy = Proxy::start_with(require);
    let balancer = Balancer::start(proxy.server);
    // The header is sent byte by byte, and its last byte together with the ClientHello.
    let mut socket = balancer.connect();
    let header = with_crc(client_header(&endpoint_tlv(ENDPOINT)));
    let (last, first) = header.split_last().unwrap();
    for byte in first {
        socket.write_all(&[*byte]).unwrap();
    }
    let joined = Joined {
        socket,
        before: vec![*last],
    };
    let socket = joined.handshake(&proxy);
    drop(socket);
    await_count(&proxy, "ok", 1.0);
}

/// A socket that sends the bytes `before` together with the first write.
struct Joined {
    socket: std::net::TcpStream,
    before: Vec<u8>,
}

impl Joined {
    /// Completes a TLS handshake.
    fn handshake(mut self, proxy: &Proxy) -> std::net::TcpStream {
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut tls = rustls::ClientConnection::new(Arc::clone(&proxy.client), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut self).unwrap();
        }
        self.socket
    }
}

impl std::io::Read for Joined {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.socket.read(buffer)
    }
}

impl std::io::Write for Joined {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let before = std::mem::take(&mut self.before);
        self.socket.write_all(&[&before[..], bytes].concat())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.socket.flush()
    }
}

#[test]
fn a_slow_header_ends_after_two_seconds_and_does_not_block_other_clients() {
    let mut proxy = Proxy::start_with(|setup| {
        require(setup);
        setup.set("server.limits", "max_unverified_per_source", "2");
    });
    let balancer = Balancer::before(&mut proxy);
    let header = client_header(&endpoint_tlv(ENDPOINT));
    let slow: Vec<_> = (0..40)
        .map(|n| balancer.send(&header[..n % header.len()]))
        .collect();
    // All connections, also those of KMS, have the balancer's address.
    for _ in 0..10 {
        proxy.caller(&PAYMENTS).health();
    }
    for socket in slow {
        assert_eq!(closed(socket), b"");
    }
    await_count(&proxy, "timeout", 40.0);
    let displaced = proxy.metric(
        "xks_connections_closed_total",
        &[
            ("listener", "server"),
            ("reason", "displaced_silent"),
            ("source", "unknown"),
        ],
    );
    assert_eq!(displaced, Some(0.0));
}

#[test]
fn the_limit_per_source_applies_to_each_client_behind_the_balancer() {
    let mut proxy = Proxy::start_with(|setup| {
        require(setup);
        setup.set("server.limits", "max_unverified_per_source", "2");
    });
    let balancer = Balancer::before(&mut proxy);
    let open = || Connection::open(balancer.address, Arc::clone(&proxy.client));
    balancer.say(None, Some("10.20.30.66:1"));
    let greedy: Vec<_> = (0..6).map(|_| open().unwrap()).collect();
    let closed = [
        ("listener", "server"),
        ("reason", "displaced_unverified"),
        ("source", "unknown"),
    ];
    proxy.await_metric("xks_connections_closed_total", &closed, |n| n == 4.0);
    // Other clients of the same balancer have separate limits.
    for client in ["10.20.30.67:1", "10.20.30.68:1"] {
        balancer.say(None, Some(client));
        drop((open().unwrap(), open().unwrap()));
    }
    balancer.say(Some(ENDPOINT), Some("10.20.30.66:1"));
    proxy.caller(&PAYMENTS).health();
    let now = proxy.metric("xks_connections_closed_total", &closed);
    assert_eq!(now, Some(4.0));
    drop(greedy);
}
