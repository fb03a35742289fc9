//! Searches the memory of the proxy for plaintexts after a request, like a debugger. This needs root, because the proxy is not dumpable.
//! Without root, the tests only print that they are skipped.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use crate::harness::h2::Http2;
use crate::harness::metrics::eventually;
use crate::harness::wire::{base64, bytes, decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

/// The length of the searched bytes: long enough that they occur nowhere else.
const NEEDLE: usize = 24;

/// A plaintext that occurs nowhere else, with a length that needs padding in Base64.
fn plaintext(seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as u8
    };
    std::iter::repeat_with(next).take(1_000).collect()
}

/// Finds parts of the plaintext, or of its Base64 text, in the memory of this process.
fn copies(process: u32, plaintext: &[u8]) -> Vec<String> {
    let text = base64(plaintext).into_bytes();
    let needles: Vec<(&str, &[u8])> = [("plaintext", plaintext), ("Base64", &text)]
        .into_iter()
        .flat_map(|(form, whole)| whole.chunks_exact(NEEDLE).map(move |part| (form, part)))
        .collect();
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let writable = maps.lines().filter(|line| line.contains(" rw"));
    let found = writable.flat_map(|line| {
        let region = read_region(&memory, line);
        let hits: Vec<String> = needles
            .iter()
            .filter(|(_, needle)| contains(&region, needle))
            .map(|(form, _)| format!("{form} in {line}"))
            .collect();
        hits
    });
    let mut found: Vec<String> = found.collect();
    found.dedup();
    found
}

fn read_region(memory: &File, line: &str) -> Vec<u8> {
    let (range, _) = line.split_once(' ').unwrap();
    let (start, end) = range.split_once('-').unwrap();
    let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
    let mut region = vec![0; usize::try_from(end - start).unwrap()];
    // The region may have been unmapped.
    let read = memory.read_at(&mut region, start).unwrap_or(0);
    region.truncate(read);
    region
}

fn contains(region: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(region, needle).is_some()
}

fn may_read_memory() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("not root: the proxy's memory cannot be read, nothing was tested");
    }
    is_root
}

/// Waits until no copy is left, because the task of a connection ends shortly after its last response.
#[track_caller]
fn await_wiped(proxy: &Proxy, what: &str, plaintext: &[u8]) {
    eventually(&format!("no copy of the plaintext after {what}"), || {
        copies(proxy.daemon.front(), plaintext)
            .is_empty()
            .then_some(())
    });
}

#[test]
fn no_plaintext_is_left_after_a_connection_has_closed() {
    if !may_read_memory() {
        return;
    }
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let plaintext = plaintext(1);
    let encrypted = payments.encrypt("orders", &plaintext);
    await_wiped(&proxy, "Encrypt", &plaintext);
    let opened = payments.call("decrypt", "orders", &decrypt_body(&encrypted));
    assert_eq!(bytes(&opened.ok(), "plaintext"), plaintext);
    await_wiped(&proxy, "Decrypt", &plaintext);
}

#[test]
fn no_plaintext_is_left_after_an_http2_connection_has_closed() {
    if !may_read_memory() {
        return;
    }
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let plaintext = plaintext(2);
    let connection = Http2::open(&proxy);
    let body = encrypt_body(&plaintext).to_string();
    let encrypted = connection.exchange(&payments.request("encrypt", "orders", body));
    let body = decrypt_body(&encrypted.unwrap().ok()).to_string();
    let opened = connection.exchange(&payments.request("decrypt", "orders", body));
    assert_eq!(bytes(&opened.unwrap().ok(), "plaintext"), plaintext);
    drop(connection);
    await_wiped(&proxy, "HTTP/2", &plaintext);
}

/// The read buffers of TLS and HTTP contain the last request of the connection until the next request or the end of the connection.
#[test]
fn an_open_connection_holds_at_most_its_last_request() {
    if !may_read_memory() {
        return;
    }
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let (first, second) = (plaintext(3), plaintext(4));
    let mut connection = proxy.connect();
    for plaintext in [&first, &second] {
        let body = encrypt_body(plaintext).to_string();
        connection
            .exchange(&payments.request("encrypt", "orders", body))
            .ok();
    }
    await_wiped(&proxy, "the next request", &first);
    let held = copies(proxy.daemon.front(), &second);
    assert!(
        held.iter().all(|copy| copy.starts_with("Base64")),
        "the decoded plaintext is wiped at once: {held:?}"
    );
    drop(connection);
    await_wiped(&proxy, "the end of the connection", &second);
}

/// Tests the search: a request that is still running has its plaintext in memory.
#[test]
fn the_search_finds_the_plaintext_of_a_running_request() {
    let plaintext = plaintext(5);
    assert!(!copies(std::process::id(), &plaintext).is_empty());
}
