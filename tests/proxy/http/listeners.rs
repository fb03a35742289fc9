//! Several addresses of one listener: IPv4 and IPv6 on one port, and addresses that conflict.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::harness::command::run;
use crate::harness::http::{Connection, plain};
use crate::harness::setup::Setup;
use crate::harness::wire::plain_body;
use crate::harness::{PAYMENTS, Proxy};

/// Returns two ports that are free on every address. They are below the kernel's range of ephemeral ports, so no client uses them.
fn free_ports() -> (u16, u16) {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let is_free = |port: &u16| TcpListener::bind(("::", *port)).is_ok();
    let mut ports = (first..=u16::MAX / 2).filter(is_free);
    (ports.next().unwrap(), ports.next().unwrap())
}

fn both(port: u16) -> String {
    format!("[\"0.0.0.0:{port}\", \"[::]:{port}\"]")
}

#[test]
fn ipv4_and_ipv6_are_served_on_one_port() {
    let (server, admin) = free_ports();
    let proxy = Proxy::start_with(|setup| {
        setup.set("server", "listen", &both(server));
        setup.set("admin", "listen", &both(admin));
    });
    for host in ["127.0.0.1", "[::1]"] {
        let on = |port: u16| -> SocketAddr { format!("{host}:{port}").parse().unwrap() };
        assert_eq!(plain(on(admin), "GET", "/readyz").status, 200, "{host}");
        let body = plain_body("health").to_string();
        let request = proxy.caller(&PAYMENTS).request("health", "", body);
        let mut connection = Connection::open(on(server), Arc::clone(&proxy.client)).unwrap();
        connection.exchange(&request).ok();
    }
}

#[test]
fn addresses_that_conflict_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    for (server, admin, error) in [
        (
            "[\"0.0.0.0:443\", \"0.0.0.0:443\"]",
            "\"127.0.0.1:80\"",
            "server.listen: 0.0.0.0:443 is listed twice",
        ),
        (
            "[\"0.0.0.0:443\", \"127.0.0.1:443\"]",
            "\"127.0.0.1:80\"",
            "server.listen: 127.0.0.1:443 cannot be bound: it overlaps with 0.0.0.0:443",
        ),
        (
            "[\"0.0.0.0:443\", \"[::]:443\"]",
            "\"127.0.0.1:443\"",
            "admin.listen: 127.0.0.1:443 cannot be bound: it overlaps with 0.0.0.0:443 of server.listen",
        ),
    ] {
        setup.set("server", "listen", server);
        setup.set("admin", "listen", admin);
        for command in ["check-config", "serve"] {
            run(&setup, &[command]).expect(78, &[error]);
        }
    }
}
