//! The supervisor of an HSM: a circuit breaker (Probing → Usable → Failed) around its workers.
//!
//! Every problem is fixed by a new worker. It opens and probes the token while the old worker still serves, and then takes over. The old
//! worker finishes its jobs before it is closed.
//!
//! # Invariants
//! - A serving worker is never replaced by a worker that cannot open the token. With a wrong PIN or a missing token, the old settings stay
//!   active, and an error is logged.
//! - At most one worker opens the token at a time.
//! - After a final error, such as a wrong PIN, no attempt is made until the settings change.
//! - After other errors, new settings are tried again after pauses, while the old worker serves.

mod hanging;
mod opening;
mod retired;
mod state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::ekm::Condition;
use crate::hsm::events::{Event, NotOpened};
use crate::hsm::state::circuit_breaker::Phase;
use crate::hsm_protocol::HsmSettings;
use crate::hsm_protocol::launch::WorkerEnd;
use retired::Retired;
use state::{Opening, Purpose, STABLE_AFTER, Serving, TIMER_INTERVAL};

pub(super) use state::Supervisor;

/// How long after a failure jobs may wait for a new worker. After that time they fail at once.
const SUSPENDED_FOR: Duration = Duration::from_secs(1);

/// How long workers may take to close their sessions when the supervisor stops.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

impl Supervisor {
    /// Runs until [`Event::Stop`]. Then all workers have ended.
    pub(super) async fn run(mut self) {
        self.state.enter(Phase::Probing);
        loop {
            self.check_timeouts().await;
            let event = match timeout(self.patience(), self.events.recv()).await {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(_) => continue,
            };
            if matches!(event, Event::Stop) {
                break;
            }
            self.handle(event);
        }
        self.end().await;
    }

    fn patience(&self) -> Duration {
        let until_attempt = self.next_attempt.as_ref().map(|(at, _)| *at);
        until_attempt.map_or(TIMER_INTERVAL, |at| {
            at.saturating_duration_since(Instant::now())
                .min(TIMER_INTERVAL)
        })
    }

    /// Does what depends on time: timeouts, retired workers and the next attempt.
    async fn check_timeouts(&mut self) {
        if let Some(since) = self.suspended_since
            && since.elapsed() > SUSPENDED_FOR
        {
            self.suspended_since = None;
            self.state.close("the HSM is being opened");
        }
        let open_timeout = self.state.settings.load().open_timeout;
        let is_late = |opening: &Opening| opening.began.elapsed() > open_timeout;
        if self.opening.as_ref().is_some_and(is_late) {
            self.not_opened(NotOpened::because("the HSM hangs"));
        }
        self.check_hanging_sessions();
        self.retired.retain_mut(|retired| !retired.advance());
        let is_due = |(at, _): &(Instant, Purpose)| *at <= Instant::now();
        if self.opening.is_none()
            && let Some((_, purpose)) = self.next_attempt.take_if(|attempt| is_due(attempt))
        {
            self.open(purpose).await;
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Opened(worker) if self.opens(worker) => self.take_over(),
            Event::NotOpened(worker, why) if self.opens(worker) => self.not_opened(why),
            Event::Fatal(worker, reason) => self.failed(worker, &reason),
            Event::ProtocolViolated(worker, violation) => {
                self.protocol_violated(worker, &violation)
            }
            // A worker that opens the token is not killed: it ends by itself, and first reports the reason.
            Event::SessionEnded(worker) if self.serves(worker) => self.kill(worker),
            Event::Ended(worker, how) => self.ended(worker, how),
            Event::Settings(settings) => self.change(*settings),
            // The watched file is the library of the new settings.
            Event::LibraryChanged if self.may_retry_settings() => self.replace(Purpose::Settings),
            Event::LibraryChanged => self.replace(Purpose::Library),
            Event::KeysChanged => self.send_expected_keys(),
            Event::Opened(_) | Event::NotOpened(..) | Event::SessionEnded(_) | Event::Stop => {}
        }
    }

    fn opens(&self, worker: u32) -> bool {
        let opening = self.opening.as_ref();
        opening.is_some_and(|opening| opening.running.number() == worker)
    }

    fn serves(&self, worker: u32) -> bool {
        let serving = self.serving.as_ref();
        serving.is_some_and(|serving| serving.running.number() == worker)
    }

    fn send_expected_keys(&self) {
        let keys = self.state.expected_keys.load_full();
        let workers = self.serving.iter().map(|serving| &serving.running);
        let workers = workers.chain(self.opening.iter().map(|opening| &opening.running));
        for running in workers {
            running.expect(&keys);
        }
    }

    /// Handles the failure of the opening or the serving worker.
    fn failed(&mut self, worker: u32, reason: &str) {
        if self.opens(worker) {
            self.not_opened(NotOpened::because(reason));
        }
        if let Some(serving) = self
            .serving
            .take_if(|serving| serving.running.number() == worker)
        {
            self.lost(serving, reason);
        }
    }

    fn protocol_violated(&mut self, worker: u32, violation: &str) {
        let hsm = &self.state.name;
        tracing::error!(%hsm, violation, "the worker violated the protocol; killing it");
        self.kill(worker);
        self.failed(
            worker,
            &format!("its worker violated the protocol: {violation}"),
        );
    }

    /// Kills the opening or the serving worker. The launcher reports its end, also if it has ended already.
    fn kill(&self, worker: u32) {
        let serving = self.serving.iter().map(|serving| &serving.running);
        let workers = serving.chain(self.opening.iter().map(|opening| &opening.running));
        workers
            .filter(|running| running.number() == worker)
            .for_each(|running| running.process.kill());
    }

    fn ended(&mut self, worker: u32, how: Option<WorkerEnd>) {
        self.retired
            .retain(|retired| retired.running.number() != worker);
        if self.opens(worker) || self.serves(worker) {
            let how = how.map_or_else(|| "ended".to_owned(), |how| how.to_string());
            self.failed(worker, &format!("its worker {how}"));
        }
    }

    /// Handles the loss of the serving worker.
    fn lost(&mut self, serving: Serving, reason: &str) {
        let hsm = &self.state.name;
        self.state.suspend(serving.running.number(), reason);
        // Replaces the less specific reason that the end of a session has published.
        self.state.publish(Condition::Down, reason);
        let served = serving.since.elapsed();
        self.retired.push(Retired::new(serving.running));
        if !self.state.trust.is_kept() {
            return self.stop_attempts();
        }
        tracing::error!(%hsm, reason, "the HSM failed; reopening it");
        match served > STABLE_AFTER {
            true => self.failures = 0,
            // An HSM that fails immediately after opening must not be reopened immediately.
            false => {
                if self.failures > 0 {
                    self.state.close("it fails again and again");
                }
                self.failures += 1;
            }
        }
        self.suspended_since = Some(Instant::now());
        self.attempt_after(self.pause(), Purpose::Serve);
    }

    /// Schedules a worker that replaces the serving one.
    fn replace(&mut self, purpose: Purpose) {
        if self.opening.is_none() && self.state.trust.is_kept() {
            self.next_attempt = Some((Instant::now(), purpose));
        }
    }

    /// Changes the settings. Retires a worker that opens the token with the old ones.
    fn change(&mut self, settings: HsmSettings) {
        let former = self.state.settings.swap(Arc::new(settings));
        let now = self.state.settings.load();
        if former.token != now.token {
            self.state.trust.restore();
        }
        self.rejected = None;
        if let Some(opening) = self.opening.take() {
            self.retired.push(Retired::new(opening.running));
        }
        self.failures = 0;
        self.replace(Purpose::Settings);
    }

    async fn end(mut self) {
        self.state.close("the proxy is stopping");
        let serving = self.serving.take().map(|serving| serving.running);
        let opening = self.opening.take().map(|opening| opening.running);
        for running in serving.into_iter().chain(opening) {
            self.retired.push(Retired::new(running));
        }
        let until = Instant::now() + CLOSE_PATIENCE;
        while !self.retired.is_empty() && Instant::now() < until {
            self.retired.retain_mut(|retired| !retired.advance());
            let left = until.saturating_duration_since(Instant::now());
            if let Ok(Some(Event::Ended(worker, how))) =
                timeout(left.min(TIMER_INTERVAL), self.events.recv()).await
            {
                self.ended(worker, how);
            }
        }
        // Dropping the remaining workers kills them.
    }
}

#[cfg(test)]
mod tests;
