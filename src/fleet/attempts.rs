//! The attempts of one job: which HSMs got it, what they answered, and which HSM is next.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use std::vec;

use crate::ekm::{KeyManagerError, KeyManagerFault};

/// The most HSMs that get one job. HSMs that lack the key do not count.
const MAX_ATTEMPTS: usize = 2;

/// The known ability of an HSM to do a job, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It is usable, and not known to lack the key.
    Able,
    /// It is usable, but its last check of the token did not find the key.
    Lacking,
    /// It is not usable now.
    Unusable,
}

/// An HSM that can get the job.
pub(super) struct Candidate<D> {
    pub rank: Rank,
    pub wait: Duration,
    pub device: D,
}

/// Why another HSM gets the job.
#[derive(Clone, Copy)]
pub(super) enum Reason<'a> {
    /// The HSM has not answered within the hedge delay.
    Slow,
    /// The HSM returned an error.
    Error(&'a KeyManagerError),
}

/// The effect of an error on the choice of the next HSM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Another HSM would return the same error, or no time is left.
    Final,
    /// This HSM does not have exactly one such key; another one may.
    Missing,
    /// Another HSM may be able to do the job.
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
            | KeyManagerFault::KeyBlocked
            | KeyManagerFault::QueueFull => Self::Failed,
        }
    }
}

/// An HSM that works on the job.
struct Running<D, A> {
    device: D,
    answer: A,
}

/// The attempts of one job. At least one runs until [`Attempts::conclude`] returns the outcome.
pub(super) struct Attempts<D, A, S, L> {
    start: S,
    leave: L,
    candidates: vec::IntoIter<Candidate<D>>,
    running: Vec<Running<D, A>>,
    /// The number of HSMs that work on the job or have failed.
    counted: usize,
    is_hedged: bool,
    failed: Option<KeyManagerError>,
    absent: Option<KeyManagerError>,
    ambiguous: Option<KeyManagerError>,
}

impl<T, D, A, S, L> Attempts<D, A, S, L>
where
    D: Copy,
    A: Future<Output = Result<T, KeyManagerError>> + Unpin,
    S: Fn(D) -> A,
    L: Fn(D, Reason<'_>),
{
    /// Sends the job to the first candidate; `candidates` are in the order of preference. Returns none if there are no candidates. `start` sends
    /// the job to an HSM; `leave` is called with an HSM when another HSM gets the job because of it.
    pub(super) fn start(candidates: Vec<Candidate<D>>, start: S, leave: L) -> Option<Self> {
        let mut attempts = Self {
            start,
            leave,
            candidates: candidates.into_iter(),
            running: Vec::with_capacity(MAX_ATTEMPTS),
            counted: 0,
            is_hedged: false,
            failed: None,
            absent: None,
            ambiguous: None,
        };
        attempts.ask_next().then_some(attempts)
    }

    /// Waits for the next answer. Returns it with its HSM.
    pub(super) async fn next(&mut self) -> (D, A::Output) {
        let running = &mut self.running;
        let (at, outcome) = poll_fn(|context| {
            for (at, attempt) in running.iter_mut().enumerate() {
                if let Poll::Ready(outcome) = Pin::new(&mut attempt.answer).poll(context) {
                    return Poll::Ready((at, outcome));
                }
            }
            Poll::Pending
        })
        .await;
        (self.running.swap_remove(at).device, outcome)
    }

    /// Returns the outcome of the job, if this answer decides it. Otherwise another HSM gets the job, or still works on it.
    pub(super) fn conclude(&mut self, device: D, outcome: A::Output) -> Option<A::Output> {
        let error = match outcome {
            Err(error) if Meaning::of(error.fault) != Meaning::Final => error,
            outcome => return Some(outcome),
        };
        let slot = match (Meaning::of(error.fault), error.fault) {
            (Meaning::Failed, _) => &mut self.failed,
            (_, KeyManagerFault::KeyAmbiguous) => &mut self.ambiguous,
            _ => &mut self.absent,
        };
        *slot = Some(error.clone());
        if Meaning::of(error.fault) == Meaning::Missing {
            self.counted -= 1;
        }
        if self.may_ask() && self.ask_next() {
            (self.leave)(device, Reason::Error(&error));
        }
        self.running.is_empty().then(|| Err(self.error(error)))
    }

    /// Returns whether a second HSM may get the job while the first one has not answered.
    pub(super) fn may_hedge(&self) -> bool {
        !self.is_hedged && self.running.len() == 1 && self.may_ask_while_one_runs()
    }

    /// Sends the job to a second HSM while the first one works on it.
    pub(super) fn hedge(&mut self) {
        let slow = self.running.first().map(|attempt| attempt.device);
        self.is_hedged = true;
        if let Some(slow) = slow
            && self.ask_next()
        {
            (self.leave)(slow, Reason::Slow);
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

    /// Returns the error of a job that no HSM did. If no HSM failed, all have reported that the key is missing.
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
