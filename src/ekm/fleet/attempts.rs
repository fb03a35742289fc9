//! The attempts of one job: which HSMs were asked, what they answered, and which one is asked next.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use std::vec;

use super::{Fleet, Outcome};
use crate::ekm::{KeyManager, KeyManagerError, KeyManagerFault, KeySelector, Pending};

/// The most HSMs that are asked for one job; those that lack the key do not count.
const MAX_ATTEMPTS: usize = 2;

/// Whether an HSM can serve a job, as far as it is known. The order is the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It is usable, and not known to lack the key.
    Able,
    /// It is usable, but its last look at the token did not find the key.
    Lacking,
    /// It is not usable at the moment.
    Unusable,
}

/// An HSM that may be asked.
pub(super) struct Candidate<'a> {
    pub rank: Rank,
    pub wait: Duration,
    pub device: &'a dyn KeyManager,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(device: &'a dyn KeyManager, key: &KeySelector) -> Self {
        let (rank, wait) = match (device.is_usable(), device.has_key(key)) {
            (false, _) => (Rank::Unusable, Duration::ZERO),
            (true, Some(false)) => (Rank::Lacking, Duration::ZERO),
            (true, _) => (Rank::Able, device.suspected_wait()),
        };
        Self { rank, wait, device }
    }
}

/// What an error means for the choice of the next HSM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Another HSM would say the same, or there is no time left.
    Final,
    /// This HSM does not have exactly one such key; another one may.
    Missing,
    /// Another HSM may do what this one could not.
    Failed,
}

impl Meaning {
    pub(super) fn of(fault: KeyManagerFault) -> Self {
        match fault {
            KeyManagerFault::CiphertextInvalid
            | KeyManagerFault::UsageNotPermitted
            | KeyManagerFault::KeyUnsuitable
            | KeyManagerFault::InputTooLong
            | KeyManagerFault::DeadlinePassed => Self::Final,
            KeyManagerFault::KeyAbsent | KeyManagerFault::KeyAmbiguous => Self::Missing,
            KeyManagerFault::DeviceUnavailable
            | KeyManagerFault::DeviceFailed
            | KeyManagerFault::KeyFailed
            | KeyManagerFault::QueueFull => Self::Failed,
        }
    }
}

/// An HSM that works on the job.
struct Running<'a, T> {
    device: &'a dyn KeyManager,
    answer: Pending<'a, T>,
}

/// The attempts of one job. At least one runs until [`Attempts::conclude`] returns the outcome.
pub(super) struct Attempts<'a, T, S> {
    fleet: &'a Fleet,
    start: S,
    candidates: vec::IntoIter<Candidate<'a>>,
    running: Vec<Running<'a, T>>,
    /// How many HSMs run or have failed.
    counted: usize,
    is_hedged: bool,
    failed: Option<KeyManagerError>,
    absent: Option<KeyManagerError>,
    ambiguous: Option<KeyManagerError>,
}

impl<'a, T, S: Fn(&'a dyn KeyManager) -> Pending<'a, T>> Attempts<'a, T, S> {
    /// Asks the first HSM.
    ///
    /// # Errors
    /// [`KeyManagerFault::DeviceUnavailable`] when the fleet has no HSM.
    pub(super) fn start(
        fleet: &'a Fleet,
        key: &KeySelector,
        start: S,
    ) -> Result<Self, KeyManagerError> {
        let mut attempts = Self {
            fleet,
            start,
            candidates: fleet.candidates(key).into_iter(),
            running: Vec::with_capacity(MAX_ATTEMPTS),
            counted: 0,
            is_hedged: false,
            failed: None,
            absent: None,
            ambiguous: None,
        };
        match attempts.ask_next() {
            true => Ok(attempts),
            false => Err(no_hsm()),
        }
    }

    /// The next answer, with the HSM that gave it.
    pub(super) async fn next(&mut self) -> (&'a dyn KeyManager, Outcome<T>) {
        let running = &mut self.running;
        let (at, outcome) = poll_fn(|context| {
            for (at, attempt) in running.iter_mut().enumerate() {
                if let Poll::Ready(outcome) = attempt.answer.as_mut().poll(context) {
                    return Poll::Ready((at, outcome));
                }
            }
            Poll::Pending
        })
        .await;
        (self.running.swap_remove(at).device, outcome)
    }

    /// The outcome of the job, if this answer decides it. Otherwise another HSM is asked, or still works.
    pub(super) fn conclude(
        &mut self,
        device: &'a dyn KeyManager,
        outcome: Outcome<T>,
    ) -> Option<Outcome<T>> {
        let error = match outcome {
            Err(error) if Meaning::of(error.fault) != Meaning::Final => error,
            outcome => return Some(outcome),
        };
        let place = match (Meaning::of(error.fault), error.fault) {
            (Meaning::Failed, _) => &mut self.failed,
            (_, KeyManagerFault::KeyAmbiguous) => &mut self.ambiguous,
            _ => &mut self.absent,
        };
        *place = Some(error.clone());
        if Meaning::of(error.fault) == Meaning::Missing {
            self.counted -= 1;
        }
        if self.may_ask() && self.ask_next() {
            self.fleet.count(device, &error);
        }
        self.running.is_empty().then(|| Err(self.error(error)))
    }

    /// Whether a second HSM may be asked although the first one has not answered yet.
    pub(super) fn may_hedge(&self) -> bool {
        !self.is_hedged && self.running.len() == 1 && self.may_ask_while_one_runs()
    }

    /// Asks a second HSM beside the first one.
    pub(super) fn hedge(&mut self) {
        let slow = self.running.first().map(|attempt| attempt.device);
        self.is_hedged = true;
        if let Some(slow) = slow
            && self.ask_next()
        {
            self.fleet.count_as(slow, "slow");
        }
    }

    fn may_ask(&self) -> bool {
        match self.running.is_empty() {
            true => self.counted < MAX_ATTEMPTS && (self.failed.is_none() || self.next_is_usable()),
            false => self.is_hedged && self.may_ask_while_one_runs(),
        }
    }

    fn may_ask_while_one_runs(&self) -> bool {
        self.counted < MAX_ATTEMPTS && self.next_rank() == Some(Rank::Able)
    }

    fn next_is_usable(&self) -> bool {
        self.next_rank().is_some_and(|rank| rank < Rank::Unusable)
    }

    fn next_rank(&self) -> Option<Rank> {
        self.candidates.as_slice().first().map(|next| next.rank)
    }

    fn ask_next(&mut self) -> bool {
        let Some(Candidate { device, .. }) = self.candidates.next() else {
            return false;
        };
        let answer = (self.start)(device);
        self.running.push(Running { device, answer });
        self.counted += 1;
        true
    }

    /// The error of a job that no HSM did. Without a failure every HSM has been asked and has said that the key is missing.
    fn error(&mut self, last: KeyManagerError) -> KeyManagerError {
        let missing = self.ambiguous.take().or(self.absent.take());
        match (self.failed.take(), missing) {
            (Some(failed), Some(missing)) => KeyManagerError {
                detail: format!("{}; {}: {}", failed.detail, missing.device, missing.detail).into(),
                ..failed
            },
            (Some(error), None) | (None, Some(error)) => error,
            (None, None) => last,
        }
    }
}

fn no_hsm() -> KeyManagerError {
    let nobody: Arc<str> = "none".into();
    let fault = KeyManagerFault::DeviceUnavailable;
    KeyManagerError::new(fault, &nobody, "the key store has no HSM")
}
