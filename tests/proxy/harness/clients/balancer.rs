//! A relay that behaves like a Network Load Balancer with `proxy_protocol_v2.enabled`. Its header precedes the client's first payload. Its own
//! health checks are LOCAL, or close without a byte. It forwards everything that a client sends.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::harness::Proxy;
use crate::harness::http::tcp_from;
use crate::harness::setup::Setup;

/// The address from which the balancer connects to the proxy.
pub const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// The VPC endpoint of KMS.
pub const ENDPOINT: &str = "vpce-0123456789abcdef0";

/// The signature of PROXY protocol v2.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// A listener that requires PROXY protocol, for the proxy and for `[admin]`.
pub const REQUIRED: &str = "[{ address = \"127.0.0.1:0\", proxy_protocol = \"required\" }]";

/// The addresses in the headers of the balancer.
#[derive(Clone)]
pub struct Says {
    /// The VPC endpoint.
    pub endpoint: Option<String>,
    /// An address that replaces the client's own.
    pub client: Option<SocketAddr>,
}

/// A running balancer. Its threads end with their connections, or with the test.
pub struct Balancer {
    /// The address of its listener.
    pub address: SocketAddr,
    /// The address of the proxy's listener.
    pub target: SocketAddr,
    says: Arc<Mutex<Says>>,
}

/// Configures the proxy to require PROXY protocol from the balancer's address.
pub fn require(setup: &mut Setup) {
    setup.set("server", "listen", REQUIRED);
    trust(setup, &format!("{BALANCER}/32"));
}

/// Configures the proxy to trust headers from this network.
pub fn trust(setup: &mut Setup, network: &str) {
    let networks = format!("[\"{network}\"]");
    setup.set("server", "proxy_protocol_trusted_sources", &networks);
}

impl Balancer {
    /// Puts a balancer in front of the proxy. Clients of the proxy connect to the balancer afterwards.
    pub fn before(proxy: &mut Proxy) -> Self {
        let balancer = Self::start(proxy.server);
        proxy.server = balancer.address;
        balancer
    }

    /// Listens, and relays to `target`. Its headers have the VPC endpoint [`ENDPOINT`].
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let says = Says {
            endpoint: Some(ENDPOINT.into()),
            client: None,
        };
        let says = Arc::new(Mutex::new(says));
        let shared = Arc::clone(&says);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let says = shared.lock().unwrap().clone();
                thread::spawn(move || relay(client, target, &says));
            }
        });
        Self {
            address,
            target,
            says,
        }
    }

    /// Changes the headers of later connections.
    pub fn say(&self, endpoint: Option<&str>, client: Option<&str>) {
        *self.says.lock().unwrap() = Says {
            endpoint: endpoint.map(Into::into),
            client: client.map(|client| client.parse().unwrap()),
        };
    }

    /// Opens a connection from the balancer itself to the proxy.
    pub fn connect(&self) -> TcpStream {
        tcp_from(BALANCER, self.target).unwrap()
    }

    /// Opens a connection from the balancer itself that starts with these bytes.
    pub fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut socket = self.connect();
        // The proxy may have closed the connection.
        let _ = socket.write_all(bytes);
        socket
    }

    /// A health check over TCP: connects, sends `LOCAL`, and closes.
    pub fn check(&self) {
        let socket = self.send(&local());
        socket.shutdown(Shutdown::Write).unwrap();
        assert_eq!(closed(socket), b"");
    }

    /// A health check that closes without a byte.
    pub fn check_silently(&self) {
        let socket = self.connect();
        socket.shutdown(Shutdown::Write).unwrap();
        assert_eq!(closed(socket), b"");
    }
}

/// Reads until the connection ends, also by a reset. Fails the test if it does not end.
#[track_caller]
pub fn closed(mut socket: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("never closed"),
        _ => bytes,
    }
}

/// Returns the health check of a Network Load Balancer, as captured: LOCAL, no addresses, CRC32C, padding.
pub fn local() -> Vec<u8> {
    let head = [
        &[0x20, 0x11, 0x00, 0x54, 0x03, 0x00, 0x04][..],
        &[0xbc, 0xe5, 0x95, 0x1f, 0x04, 0x00, 0x4a],
    ];
    [&SIGNATURE[..], &head.concat(), &[0; 74]].concat()
}

/// Returns a type, length and value.
pub fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// Returns AWS's TLV of a VPC endpoint.
pub fn endpoint_tlv(id: &str) -> Vec<u8> {
    tlv(0xea, &[&[1], id.as_bytes()].concat())
}

/// Returns a header of the command PROXY, with these TLVs after the addresses.
pub fn header(client: SocketAddr, destination: SocketAddr, tlvs: &[u8]) -> Vec<u8> {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let family = if client.is_ipv4() { 0x11 } else { 0x21 };
    let ports = [
        client.port().to_be_bytes(),
        destination.port().to_be_bytes(),
    ]
    .concat();
    let rest = [
        &octets(client.ip())[..],
        &octets(destination.ip()),
        &ports,
        tlvs,
    ]
    .concat();
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[0x21, family], &length, &rest].concat()
}

/// Returns the header with a CRC32C TLV at the end, as a Network Load Balancer sends it.
pub fn with_crc(mut header: Vec<u8>) -> Vec<u8> {
    header.extend([3, 0, 4, 0, 0, 0, 0]);
    let length = u16::try_from(header.len() - 16).unwrap().to_be_bytes();
    header[14..16].copy_from_slice(&length);
    let crc = !header.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))
        })
    });
    let at = header.len() - 4;
    header[at..].copy_from_slice(&crc.to_be_bytes());
    header
}

/// Relays one connection until both sides have ended.
fn relay(mut client: TcpStream, target: SocketAddr, says: &Says) {
    // The balancer connects at once, and sends nothing before the client does.
    let Ok(mut proxy) = tcp_from(BALANCER, target) else {
        return;
    };
    let mut first = vec![0; 16 * 1024];
    let Ok(length @ 1..) = client.read(&mut first) else {
        return;
    };
    let source = says.client.or(client.peer_addr().ok());
    let (Some(source), Ok(destination)) = (source, client.local_addr()) else {
        return;
    };
    let tlvs = says.endpoint.as_deref().map(endpoint_tlv);
    let destination = match source.is_ipv4() {
        true => destination,
        false => "[2001:db8::443]:443".parse().unwrap(),
    };
    let header = with_crc(header(source, destination, &tlvs.unwrap_or_default()));
    if proxy
        .write_all(&[&header, &first[..length]].concat())
        .is_err()
    {
        return;
    }
    let (Ok(from_client), Ok(to_proxy)) = (client.try_clone(), proxy.try_clone()) else {
        return;
    };
    let upwards = thread::spawn(move || pump(from_client, to_proxy));
    pump(proxy, client);
    drop(upwards.join());
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    // Closes the other side in any case.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
