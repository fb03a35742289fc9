//! Requests to a worker, and its answers.
//!
//! # Invariants
//! - After a failure of the worker, every later request fails immediately with the error of the first one.

use std::time::{Duration, Instant};

use thiserror::Error;

use super::worker::{Worker, WorkerFault};
use crate::hsm_protocol::administration::{Answer, Request};
use crate::hsm_protocol::{GcmFinding, TokenKey};

/// The time limit of all requests except opening. Even a slow HSM lists its keys or creates one in a fraction of it.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The maximum number of keys of a token: more than an HSM holds, and few enough for the memory.
const MAX_KEYS: usize = 1_000_000;

/// The maximum number of packets of one list, for the same reason. A packet has up to 64 KiB.
pub(super) const MAX_PARTS: usize = 10_000;

/// Why a request to a token failed, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct TokenError(String);

/// The secret keys of a token.
#[derive(Debug)]
pub struct TokenKeys {
    /// The keys that can be read.
    pub keys: Vec<TokenKey>,
    /// Why some keys cannot be read, and how many. Each of them may be the requested key.
    pub unreadable: Option<TokenError>,
}

/// A worker, and why it can no longer be used.
pub(super) struct Connection {
    pub(super) worker: Box<dyn Worker>,
    pub(super) fault: Option<TokenError>,
}

impl Connection {
    /// Sends a request and returns the answer. A request that failed is an error.
    pub(super) fn ask(
        &mut self,
        request: &Request,
        timeout: Duration,
    ) -> Result<Answer, TokenError> {
        match self.exchange(request, timeout)? {
            Answer::RequestFailed(reason) => Err(TokenError(printable(&reason))),
            answer => Ok(answer),
        }
    }

    pub(super) fn exchange(
        &mut self,
        request: &Request,
        timeout: Duration,
    ) -> Result<Answer, TokenError> {
        let deadline = Instant::now() + timeout;
        self.send(request)?;
        self.receive(deadline, timeout)
    }

    pub(super) fn list_keys(&mut self) -> Result<TokenKeys, TokenError> {
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        self.send(&Request::ListKeys)?;
        let mut all = Vec::new();
        for _ in 0..MAX_PARTS {
            match self.receive(deadline, REQUEST_TIMEOUT)? {
                Answer::TokenKeys {
                    keys,
                    is_last,
                    unreadable,
                } if all.len() + keys.len() <= MAX_KEYS => {
                    all.extend(keys);
                    if is_last {
                        return Ok(TokenKeys {
                            keys: all,
                            unreadable: unreadable.map(|reason| TokenError(printable(&reason))),
                        });
                    }
                }
                Answer::RequestFailed(reason) => return Err(TokenError(printable(&reason))),
                _ => return Err(self.broken("no list of keys, or one that is too long")),
            }
        }
        Err(self.broken("a list of keys that does not end"))
    }

    fn send(&mut self, request: &Request) -> Result<(), TokenError> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        // A name that is too long for a frame is an error of the caller, not of the worker.
        let frame = request.to_frame();
        let frame = frame.map_err(|error| TokenError(error.to_string()))?;
        let sent = self.worker.send(&frame);
        sent.map_err(|fault| self.failed(fault.into()))
    }

    fn receive(&mut self, deadline: Instant, timeout: Duration) -> Result<Answer, TokenError> {
        match self.worker.receive(deadline) {
            Ok(frame) => {
                let answer = Answer::from_frame(&frame);
                answer.map_err(|error| self.broken(&format!("no answer ({error})")))
            }
            Err(WorkerFault::Hangs) => Err(self.failed(TokenError(format!(
                "the HSM hangs: no answer within {timeout:?}; the process of its PKCS#11 library was killed"
            )))),
            Err(fault) => Err(self.failed(fault.into())),
        }
    }

    /// Returns the error for a wrong answer, after which the worker gets no more requests.
    pub(super) fn broken(&mut self, what: &str) -> TokenError {
        self.failed(TokenError(printable(&format!(
            "the process of the PKCS#11 library sent {what}"
        ))))
    }

    fn failed(&mut self, error: TokenError) -> TokenError {
        self.worker.kill();
        self.fault.get_or_insert(error).clone()
    }
}

impl From<WorkerFault> for TokenError {
    fn from(fault: WorkerFault) -> Self {
        Self(fault.to_string())
    }
}

pub(super) fn printable_finding(gcm: &GcmFinding) -> GcmFinding {
    match gcm {
        GcmFinding::Proved(plan) => GcmFinding::Proved(printable(plan)),
        GcmFinding::Unproved(plan, why) => GcmFinding::Unproved(printable(plan), printable(why)),
        GcmFinding::Unusable(why) => GcmFinding::Unusable(printable(why)),
    }
}

/// Returns the text with blanks instead of control characters: it comes from an untrusted library and is shown on a terminal.
pub(super) fn printable(text: &str) -> String {
    let visible = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    text.chars().map(visible).collect()
}
