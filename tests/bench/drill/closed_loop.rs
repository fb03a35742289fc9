//! Load of a fixed number of connections. Each sends the same request again as soon as it has a response.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, encrypt_request};
use crate::connection::Outcome;
use crate::target::Proxy;

/// The time without counting, until latencies are stable.
const WARM_UP: Duration = Duration::from_secs(1);

/// The result of a request: status (0: no response) and time.
pub type Answered = (u16, Duration);

/// Runs for `length` after a warm-up, and returns the responses of that time. A client pauses after a rejected request.
pub fn run(
    proxy: &Arc<Proxy>,
    connections: usize,
    rest: Duration,
    length: Duration,
) -> Outcome<Vec<Answered>> {
    let request = encrypt_request(proxy)?;
    let clients = (0..connections)
        .map(|_| Client::connect(proxy))
        .collect::<Outcome<Vec<_>>>()?;
    let counted_from = Instant::now() + WARM_UP;
    let window = (counted_from, counted_from + length);
    thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .map(|client| scope.spawn(|| send_all(client, &request, rest, window)))
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| "a sending thread panicked")?);
        }
        Ok(all)
    })
}

fn send_all(
    mut client: Client,
    request: &[u8],
    rest: Duration,
    (from, to): (Instant, Instant),
) -> Vec<Answered> {
    let mut answers = Vec::new();
    loop {
        let start = Instant::now();
        let status = client.send(request).map_or(0, |answer| answer.status);
        let now = Instant::now();
        if now >= to {
            return answers;
        }
        if now >= from {
            answers.push((status, now - start));
        }
        if status != 200 {
            thread::sleep(rest);
        }
    }
}

/// Returns how many responses had this status.
pub fn count(answers: &[Answered], status: u16) -> usize {
    latencies(answers, status).count()
}

/// Returns the number of responses per status, as text.
pub fn statuses(answers: &[Answered]) -> String {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for (status, _) in answers {
        *counts.entry(*status).or_default() += 1;
    }
    let words = counts.iter().map(|(status, count)| match status {
        0 => format!("{count} × no response"),
        status => format!("{count} × {status}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Returns the times of the responses with this status.
pub fn latencies(answers: &[Answered], status: u16) -> impl Iterator<Item = Duration> {
    answers
        .iter()
        .filter(move |(found, _)| *found == status)
        .map(|(_, latency)| *latency)
}
