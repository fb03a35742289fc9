//! A client that sends one request after the other and disconnects at random times.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::connection::{Connection, Outcome, TlsStream};
use crate::target::Proxy;

/// The longest time until a client disconnects, in microseconds; about the duration of a request.
const STAY: u64 = 40_000;

/// The course of a request.
enum Fate {
    /// The client waits for the response and keeps the connection.
    Answered,
    /// The client sends the whole request, and disconnects after this time.
    Left(Duration),
    /// The client disconnects after this many bytes of the request.
    Torn(usize),
}

/// A generator of numbers that a seed repeats.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb_u64)] {
            mixed = (mixed ^ (mixed >> shift)).wrapping_mul(factor);
        }
        (mixed ^ (mixed >> 31)) % bound
    }

    fn fate(&mut self, length: usize) -> Fate {
        match self.below(8) {
            0..4 => Fate::Left(Duration::from_micros(self.below(STAY))),
            4 => Fate::Torn(usize::try_from(self.below(length as u64)).unwrap_or(0)),
            _ => Fate::Answered,
        }
    }
}

/// Sends this many requests. Returns how many times it disconnected before the response.
pub fn run(proxy: &Proxy, requests: u64, seed: u64) -> Outcome<u64> {
    let mut chance = Chance(seed);
    let (mut kept, mut left) = (None, 0);
    for n in 0..requests {
        let bytes = proxy.key_request("encrypt", &body(seed, n, chance.below(2) == 0))?;
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => proxy.server.stream()?,
        };
        match chance.fate(bytes.len()) {
            Fate::Answered => {
                let mut connection = Connection::over(&mut stream);
                let status = connection.exchange(&bytes)?.status;
                match status {
                    200 => kept = Some(stream),
                    // On a busy machine a request can be too late or above a limit. It is still recorded.
                    429 | 500 => {}
                    _ => return Err(format!("request {n} has status {status}").into()),
                }
            }
            Fate::Torn(sent) => {
                send(&mut stream, bytes.get(..sent).unwrap_or_default())?;
                left += 1;
            }
            Fate::Left(stay) => {
                send(&mut stream, &bytes)?;
                thread::sleep(stay);
                left += u64::from(!has_answer(&mut stream)?);
            }
        }
    }
    Ok(left)
}

fn send(stream: &mut TlsStream, bytes: &[u8]) -> Outcome<()> {
    stream.write_all(bytes)?;
    Ok(stream.flush()?)
}

/// Returns whether the response has arrived.
fn has_answer(stream: &mut TlsStream) -> Outcome<bool> {
    stream.sock.set_nonblocking(true)?;
    Ok(stream.read(&mut [0; 1]).is_ok_and(|length| length > 0))
}

fn body(seed: u64, n: u64, is_verified: bool) -> Value {
    let mut body = json!({
        "requestMetadata": {
            "awsPrincipalArn": "arn:aws:iam::123456789012:user/Alice",
            "kmsOperation": "Encrypt",
            "kmsRequestId": format!("disconnects-{seed}-{n}"),
            "kmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        },
        "plaintext": "SGVsbG8=",
        "encryptionAlgorithm": "AES_GCM",
    });
    if is_verified && let Some(fields) = body.as_object_mut() {
        fields.insert(
            "ciphertextDataIntegrityValueAlgorithm".to_owned(),
            json!("SHA_256"),
        );
    }
    body
}
