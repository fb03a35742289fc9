//! Errors of the HTTP/2 protocol: their number of log lines is bounded.

use crate::harness::frames::{
    self, ACK, END_HEADERS, HEADERS, PING, PREFACE, RST_STREAM, frame, head,
};
use crate::harness::{PAYMENTS, Proxy};

const EVENTS: usize = 1_000;

/// The limit of log lines for a thousand events of the same type. One line per event or per connection would exceed it.
const MOST_LINES: usize = 40;

/// Opens connections one after the other, and sends these bytes on each of them.
fn attack(proxy: &Proxy, connections: usize, bytes: &[u8]) {
    for _ in 0..connections {
        let mut connection = frames::silent(proxy);
        let _ = connection.send(bytes);
        connection.finish_sending();
        connection.drain();
    }
}

/// Returns the log lines during an attack, without the access lines of requests, which have their own budget.
fn lines_during(proxy: &Proxy, attack: impl FnOnce()) -> Vec<String> {
    let before = proxy.daemon.log().len();
    attack();
    proxy.caller(&PAYMENTS).health();
    let lines = proxy.daemon.log().split_off(before);
    let is_access_line = |line: &String| line.contains("\"message\":\"request\"");
    lines
        .into_iter()
        .filter(|line| !is_access_line(line))
        .collect()
}

fn with_preface(frames: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE, &frames.concat()].concat()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn errors_of_the_protocol_have_few_log_lines() {
    let proxy = Proxy::start();
    let unsigned = proxy.caller(&PAYMENTS).unsigned("health", "", "");
    let streams = (1..).step_by(2);
    let resets = streams.clone().take(60).flat_map(|stream| {
        [
            head(&unsigned, stream),
            frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ]
    });
    let malformed = unsigned.clone().with("connection", "close");
    let malformed = streams.take(1_100).map(|stream| head(&malformed, stream));
    let acks = vec![frame(PING, ACK, 0, &[7; 8]); 3_000];
    for (kind, connections, bytes, end) in [
        ("bad preface", EVENTS, vec![b'x'; 64], "malformed"),
        (
            "a frame over the limit",
            EVENTS,
            with_preface(&[vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]]),
            "malformed",
        ),
        (
            "bad header block",
            EVENTS,
            with_preface(&[frame(HEADERS, END_HEADERS, 1, &[0xff; 64])]),
            "malformed",
        ),
        (
            "HEADERS of stream 0",
            EVENTS,
            with_preface(&[frame(HEADERS, END_HEADERS, 0, &[])]),
            "malformed",
        ),
        (
            "rapid reset",
            EVENTS,
            with_preface(&resets.collect::<Vec<_>>()),
            "flood",
        ),
        (
            "malformed requests",
            50,
            with_preface(&malformed.collect::<Vec<_>>()),
            "flood",
        ),
        (
            "acknowledgements of PINGs that were not sent",
            10,
            with_preface(&acks),
            "closed",
        ),
    ] {
        let reason = [("listener", "server"), ("reason", end)];
        let name = "xks_connections_closed_total";
        let before = proxy.metric(name, &reason).unwrap_or(0.0);
        let lines = lines_during(&proxy, || attack(&proxy, connections, &bytes));
        let count = lines.len();
        eprintln!("{kind}: {count} lines for {connections} connections");
        assert!(count < MOST_LINES, "{kind}: {:?}", lines.last());
        let after = before + connections as f64;
        proxy.await_metric(name, &reason, |now| now >= after);
    }
}
