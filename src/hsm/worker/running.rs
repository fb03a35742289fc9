//! A running worker: its process, its channels and the tasks that read them.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use crate::ekm::{Condition, ExpectedKey, KeySelector};
use crate::hsm::events::Event;
use crate::hsm::launcher_client::{StartedWorker, WorkerProcess};
use crate::hsm::state::HsmState;
use crate::hsm::worker::channel::Channel;
use crate::hsm::worker::log_relay::LogRelay;
use crate::hsm::worker::session::Session;
use crate::hsm::worker::view::WorkerView;
use crate::hsm_protocol::launch::WorkerEnd;
use crate::hsm_protocol::{
    Health, MAX_CONTROL_FRAME, MAX_EXPECTED_KEYS, News, Order, ProofId, short,
};
use crate::sync::task;

/// The longest name of a vendor or a model, in bytes: twice the size of the PKCS#11 field, plus the firmware version.
const MAX_NAME: usize = 80;

/// The longest reason that is stored and logged, in bytes.
const MAX_REASON: usize = 1_024;

/// A running worker.
pub(in crate::hsm) struct RunningWorker {
    pub view: Arc<WorkerView>,
    /// The process, which is killed when this value is dropped.
    pub process: WorkerProcess,
    control: Arc<Channel>,
    /// Frames for the worker. A task sends them as fast as the worker reads.
    orders: mpsc::UnboundedSender<Vec<u8>>,
    /// Set when the worker must end.
    is_closing: AtomicBool,
    /// True if the worker has reported the result of opening the token, or a failure of the HSM. Later reports are ignored.
    has_opened: AtomicBool,
    has_failed: AtomicBool,
    /// The keys that the worker must report. Reports on other keys are ignored.
    expected: ArcSwap<HashSet<KeySelector>>,
}

impl RunningWorker {
    /// Starts the tasks that read the channels until the worker ends.
    ///
    /// # Errors
    /// When a channel cannot be used.
    pub(in crate::hsm) fn begin(
        state: &Arc<HsmState>,
        started: StartedWorker,
    ) -> std::io::Result<Arc<Self>> {
        let StartedWorker {
            process,
            control,
            output,
            sessions,
            end,
        } = started;
        let worker = process.number();
        let mut numbered = Vec::with_capacity(sessions.len());
        for (number, socket) in (0..).zip(sessions) {
            let channel = Channel::new(socket)?;
            let slot = state.load.add_slot();
            numbered.push(Arc::new(Session::new(worker, number, channel, slot)));
        }
        let (orders, receiver) = mpsc::unbounded_channel();
        let running = Arc::new(Self {
            view: Arc::new(WorkerView::new(worker, numbered)),
            process,
            control: Arc::new(Channel::new(control)?),
            orders,
            is_closing: AtomicBool::new(false),
            has_opened: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            expected: ArcSwap::default(),
        });
        running.start_tasks(state, output, end);
        task(
            "worker-orders",
            send_orders(Arc::clone(&running.control), receiver),
        );
        Ok(running)
    }

    fn start_tasks(
        self: &Arc<Self>,
        state: &Arc<HsmState>,
        output: OwnedFd,
        end: oneshot::Receiver<WorkerEnd>,
    ) {
        for session in &self.view.sessions {
            let (session, state) = (Arc::clone(session), Arc::clone(state));
            task("worker-session", async move {
                let event = match session.read(&*state).await {
                    Some(violation) => Event::ProtocolViolated(session.worker, violation),
                    None => Event::SessionEnded(session.worker),
                };
                state.event_sender().send(event);
            });
        }
        let (running, state_of_task) = (Arc::clone(self), Arc::clone(state));
        task("worker-control", async move {
            if let Some(violation) = running.read(&state_of_task).await {
                state_of_task
                    .event_sender()
                    .protocol_violated(running.number(), violation);
            }
            // After all reports of the worker, because they contain the reason of its end.
            state_of_task
                .event_sender()
                .ended(running.number(), end.await.ok());
        });
        let name = Arc::clone(&state.name);
        task(
            "worker-output",
            crate::hsm::worker::library_output::relay(name, output),
        );
    }

    /// Sends the knowledge of previous workers: whether the token held keys, and which key objects are proved.
    pub(in crate::hsm) fn send_previous_results(&self, held_keys: bool, proved: &[ProofId]) {
        let held_keys = held_keys.then_some(Order::HeldKeys);
        self.order(held_keys.into_iter().chain(Order::proved(proved)));
    }

    /// Sends the list of expected keys.
    pub(in crate::hsm) fn expect(&self, keys: &[ExpectedKey]) {
        let keys = first_keys(keys);
        let selectors = keys.iter().map(|key| KeySelector::clone(&key.selector));
        self.expected.store(Arc::new(selectors.collect()));
        let keys = keys.iter().map(|key| (&*key.selector, key.encrypts));
        self.order(Order::expect(keys).into_iter());
    }

    /// Queues orders. Does not wait for the worker to read.
    fn order(&self, orders: impl Iterator<Item = Order>) {
        for frame in orders.filter_map(|order| order.to_frame().ok()) {
            drop(self.orders.send(frame));
        }
    }

    /// Ends the channel, so that the worker closes its sessions and exits.
    pub(in crate::hsm) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.control.shut_down();
    }

    /// The launcher's number of the worker.
    pub(in crate::hsm) fn number(&self) -> u32 {
        self.view.number
    }

    /// Reads news until the worker ends or violates the protocol. Returns the violation, if there was one.
    async fn read(&self, state: &Arc<HsmState>) -> Option<String> {
        let mut buffer = vec![0; MAX_CONTROL_FRAME];
        let mut log = LogRelay::new(&state.name);
        loop {
            let length = match self.control.receive(&mut buffer).await {
                Ok(0) => return None,
                Ok(length) => length,
                Err(error) => return Some(error.to_string()),
            };
            let frame = buffer.get(..length).unwrap_or_default();
            match News::from_frame(frame) {
                Ok(News::Line(line)) => log.log_limited(line),
                // Also from a replaced worker, because its last answers may still arrive.
                Ok(News::Distrusted(reason)) => state.distrust(self.number(), reason),
                Ok(_) if self.is_closing.load(Ordering::Acquire) => {}
                Ok(news) => self.learn(state, news),
                Err(error) => return Some(error.to_string()),
            }
        }
    }

    fn learn(&self, state: &HsmState, news: News) {
        match news {
            News::Opened { .. } | News::NotOpened { .. }
                if self.has_opened.swap(true, Ordering::Relaxed) => {}
            News::Fatal(_) if self.has_failed.swap(true, Ordering::Relaxed) => {}
            News::Opened { vendor, model, .. } => {
                let (vendor, model) = (short(&vendor, MAX_NAME), short(&model, MAX_NAME));
                state.last_check.identify(vendor, model);
                state.event_sender().opened(self.number());
            }
            News::NotOpened {
                reason,
                is_final,
                is_limit,
            } => {
                let reason = short(&reason, MAX_REASON).to_owned();
                let worker = self.number();
                state
                    .event_sender()
                    .not_opened(worker, reason, is_final, is_limit);
            }
            News::HoldsKeys(holds) => state.had_keys.store(holds, Ordering::Relaxed),
            News::Checked {
                health,
                reason,
                operation_micros,
            } => {
                let reason = short(&reason, MAX_REASON).to_owned();
                self.learn_health(state, health, reason, operation_micros);
            }
            News::Fatal(reason) => {
                let reason = short(&reason, MAX_REASON).to_owned();
                state.suspend(self.number(), &reason);
                state.event_sender().fatal(self.number(), reason);
            }
            News::Keys(mut keys) => {
                let expected = self.expected.load();
                keys.retain(|news| expected.contains(&KeySelector::from(news.key.clone())));
                self.view.keys.learn(keys);
            }
            News::Proof(object, is_proved) => state.proved_objects.note(object, is_proved),
            News::Line(_) | News::Distrusted(_) => {}
        }
    }

    fn learn_health(&self, state: &HsmState, health: Health, reason: String, micros: u64) {
        let (condition, outcome) = match health {
            Health::Healthy => (Condition::Healthy, "ok"),
            Health::Impaired => (Condition::Impaired, "impaired"),
            Health::Failed => (Condition::Down, "failed"),
        };
        state.metrics.count_check(outcome);
        self.view.learn_health(condition, reason);
        if micros > 0 {
            state.load.learn(Duration::from_micros(micros));
        }
        state.publish_health(&self.view);
    }
}

/// The first [`MAX_EXPECTED_KEYS`] keys.
fn first_keys(keys: &[ExpectedKey]) -> &[ExpectedKey] {
    keys.get(..MAX_EXPECTED_KEYS).map_or(keys, |first| {
        let left_out = keys.len() - first.len();
        if left_out > 0 {
            tracing::error!(
                left_out,
                "too many keys in the configuration; the last ones are not checked"
            );
        }
        first
    })
}

/// Sends orders as fast as the worker reads, until the worker is dropped or ends.
async fn send_orders(control: Arc<Channel>, mut orders: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = orders.recv().await {
        if control.send_when_possible(&frame).await.is_err() {
            return;
        }
    }
}
