//! Requests to a worker and their answers.
//!
//! # Invariants
//! - After a fault of the worker, every request fails at once with the error of the first one.

use std::time::{Duration, Instant};

use thiserror::Error;

use super::worker::{Worker, WorkerFault};
use crate::hsm_protocol::administration::{Answer, Request};
use crate::hsm_protocol::{GcmFinding, TokenKey};

/// The time limit of a request other than the opening: also a slow HSM lists its keys or makes one in a small part of it.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The most keys of one token: above what an HSM holds, and below what would fill the memory.
const MAX_KEYS: usize = 1_000_000;

/// The most packets of one list, for the same reason: each holds up to 64 KiB.
pub(super) const MAX_PARTS: usize = 10_000;

/// Why a request to a token failed, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct TokenError(String);

/// The secret keys of a token.
#[derive(Debug)]
pub struct TokenKeys {
    /// Those that can be read.
    pub keys: Vec<TokenKey>,
    /// How many cannot be read, and why. Each of them may be the key that is looked for.
    pub unreadable: Option<TokenError>,
}

/// A worker, and why it cannot be used any more.
pub(super) struct Connection {
    pub(super) worker: Box<dyn Worker>,
    pub(super) fault: Option<TokenError>,
}

impl Connection {
    /// An answer; a request that failed is an error.
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
        // A name that is too long for a frame is the caller's, not a fault of the worker.
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

    /// A worker that sends something wrong is not asked again.
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

/// The text with blanks instead of control characters: it comes from the process of a library, and is shown on a terminal.
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
