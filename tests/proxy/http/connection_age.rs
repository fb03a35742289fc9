//! The maximum age of connections: they end with a response, never while they are idle.

use std::time::{Duration, Instant};

use crate::harness::h2::Http2;
use crate::harness::http::{Connection, Request};
use crate::harness::response::Response;
use crate::harness::wire::plain_body;
use crate::harness::{PAYMENTS, Proxy};

/// A maximum age for which a test can wait. With its random variation it is at most 1.2 s.
const AGE: &str = "\"1s\"";
const OLDEST: Duration = Duration::from_millis(1_200);

fn proxy() -> Proxy {
    Proxy::start_with(|setup| setup.set("server.limits", "max_connection_age", AGE))
}

fn health(proxy: &Proxy) -> Request {
    let body = plain_body("health").to_string();
    proxy.caller(&PAYMENTS).request("health", "", body)
}

fn is_last(response: &Response) -> bool {
    let value = response.value("connection");
    value.is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

/// Sends requests until a response is the connection's last one. Returns the time since `start`, which is before the connect.
fn use_up(proxy: &Proxy, connection: &mut Connection, start: Instant) -> Duration {
    loop {
        let response = connection.exchange(&health(proxy));
        response.ok();
        if is_last(&response) {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(20), "no end of age");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_http1_connection_ends_with_a_response_with_connection_close() {
    let proxy = proxy();
    let start = Instant::now();
    let mut connection = proxy.connect();
    let age = use_up(&proxy, &mut connection, start);
    assert!(age > Duration::from_millis(500), "after {age:?}");
    connection.assert_closes();
    let ended = [("listener", "server"), ("reason", "max_age")];
    proxy.await_metric("xks_connections_closed_total", &ended, |count| count == 1.0);
}

#[test]
fn an_http2_connection_sends_goaway_and_finishes_its_requests() {
    let proxy = proxy();
    let connection = Http2::open(&proxy);
    let start = Instant::now();
    while connection.is_open() {
        let request = health(&proxy);
        match connection.exchange(&request) {
            Some(response) => drop(response.ok()),
            // GOAWAY arrived between the check above and the request.
            None => assert!(!connection.is_open(), "a request without a response"),
        }
        assert!(start.elapsed() < Duration::from_secs(20), "no end of age");
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = [("listener", "server"), ("reason", "max_age")];
    proxy.await_metric("xks_connections_closed_total", &ended, |count| count == 1.0);
}

#[test]
fn an_idle_connection_is_never_closed_because_of_its_age() {
    let proxy = proxy();
    let (mut idle, idle_http2) = (proxy.connect(), Http2::open(&proxy));
    idle.exchange(&health(&proxy)).ok();
    idle_http2
        .exchange(&health(&proxy))
        .expect("a response")
        .ok();
    let start = Instant::now();
    while start.elapsed() < 2 * OLDEST {
        use_up(&proxy, &mut proxy.connect(), Instant::now());
    }
    assert!(idle_http2.is_open());
    let last = idle.exchange(&health(&proxy));
    last.ok();
    assert!(is_last(&last));
    idle_http2
        .exchange(&health(&proxy))
        .expect("a response")
        .ok();
}
