//! A bounded pool of connections to the target. A connection returns to the pool after a successful exchange only.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Semaphore;

use super::work::Job;
use crate::client::error_text;
use crate::secret::SecretBytes;
use crate::sync::poisoned;
use crate::xks::Operation;

/// The transport of the load.
pub trait Wire: Send + Sync + 'static {
    /// An open connection.
    type Connection: Send;

    /// Opens a connection with TLS. Returns a short error text, which is counted.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Signs and sends a request, and waits for the whole response.
    fn call(
        &self,
        connection: &mut Self::Connection,
        operation: Operation,
        body: Vec<u8>,
    ) -> impl Future<Output = Result<Answer, String>> + Send;

    /// Returns whether the connection can be used again.
    fn is_open(connection: &Self::Connection) -> bool;
}

/// A response.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body. For Decrypt it contains a plaintext, which is test data.
    pub body: SecretBytes,
}

/// The connections to the target.
pub struct ConnectionPool<W: Wire> {
    wire: W,
    idle: Mutex<Vec<W::Connection>>,
    room: Arc<Semaphore>,
}

/// The result of a job.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The time to open the connection, if the job opened one.
    pub connected: Option<Duration>,
    /// The error, if any.
    pub failure: Option<String>,
}

impl<W: Wire> ConnectionPool<W> {
    /// Creates a pool of at most `most` connections.
    pub fn new(wire: W, most: usize) -> Self {
        Self {
            wire,
            idle: Mutex::new(Vec::new()),
            room: Arc::new(Semaphore::new(most)),
        }
    }

    /// Runs a job on an idle or a new connection, and waits while all connections are busy. A cancelled job closes its connection: a late
    /// response must not be taken for that of the next request.
    pub async fn exchange(&self, job: Job) -> Exchange {
        let mut exchange = Exchange::default();
        // The semaphore is never closed.
        let _permit = self.room.acquire().await;
        if let Err(failure) = self.try_exchange(job, &mut exchange).await {
            exchange.failure = Some(failure);
        }
        exchange
    }

    async fn try_exchange(&self, job: Job, exchange: &mut Exchange) -> Result<(), String> {
        let mut connection = match self.idle_connection().filter(|_| !job.on_new_connection) {
            Some(connection) => connection,
            None => {
                let start = Instant::now();
                let connection = self.wire.connect().await?;
                exchange.connected = Some(start.elapsed());
                connection
            }
        };
        let answer = self
            .wire
            .call(&mut connection, job.operation, job.body)
            .await?;
        self.return_connection(connection);
        validate(&answer, job.expected.as_deref())
    }

    /// Sends one request outside the load, and returns its response.
    pub async fn request(&self, operation: Operation, body: Vec<u8>) -> Result<Answer, String> {
        let mut connection = self.wire.connect().await?;
        let answer = self.wire.call(&mut connection, operation, body).await?;
        self.return_connection(connection);
        validate(&answer, None).map(|()| answer)
    }

    fn idle_connection(&self) -> Option<W::Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(poisoned);
        // The target may have closed connections that were idle for long.
        while let Some(connection) = idle.pop() {
            if W::is_open(&connection) {
                return Some(connection);
            }
        }
        None
    }

    fn return_connection(&self, connection: W::Connection) {
        if W::is_open(&connection) {
            let mut idle = self.idle.lock().unwrap_or_else(poisoned);
            idle.push(connection);
        }
    }
}

#[derive(Deserialize)]
struct Plaintext {
    plaintext: String,
}

/// Checks a response.
fn validate(answer: &Answer, expected: Option<&str>) -> Result<(), String> {
    let body = answer.body.expose();
    if let Some(failure) = error_text(answer.status, body) {
        return Err(failure);
    }
    let Some(expected) = expected else {
        return Ok(());
    };
    match serde_json::from_slice::<Plaintext>(body) {
        Ok(found) if found.plaintext == expected => Ok(()),
        Ok(_) => Err("WRONG PLAINTEXT".to_owned()),
        Err(_) => Err("status 200 without a plaintext".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validated(status: u16, body: &str, expected: Option<&str>) -> Result<(), String> {
        let body = SecretBytes::new(body.as_bytes().to_vec());
        validate(&Answer { status, body }, expected)
    }

    #[test]
    fn answers() {
        assert_eq!(validated(200, "{}", None), Ok(()));
        assert_eq!(
            validated(200, r#"{"plaintext":"QQ=="}"#, Some("QQ==")),
            Ok(())
        );
        for (status, body, expected, counted) in [
            (200, "<html>", None, "status 200 without JSON"),
            (
                200,
                r#"{"plaintext":"Qg=="}"#,
                Some("QQ=="),
                "WRONG PLAINTEXT",
            ),
            (200, "{}", Some("QQ=="), "status 200 without a plaintext"),
            (
                429,
                r#"{"errorName":"ThrottlingException"}"#,
                None,
                "ThrottlingException",
            ),
            (502, "<html>", None, "status 502 without an error name"),
            (
                500,
                "{\"errorName\":\"\\u001b[2J\"}",
                None,
                "status 500 without an error name",
            ),
        ] {
            assert_eq!(validated(status, body, expected).unwrap_err(), counted);
        }
    }
}
