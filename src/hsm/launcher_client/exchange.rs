//! The task that serves the channel to the launcher.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

use tokio::sync::{mpsc, oneshot};

use super::arriving::Arriving;
use super::channel::{Channel, Message, gone};
use super::order::{Order, Reply, WorkerProcess};
use crate::hsm_protocol::launch::{FrontMessage, FrontRequest, Text, WorkerEnd};
use crate::sync::End;

/// The state of the task.
pub(super) struct Exchange {
    channel: Channel,
    orders: mpsc::UnboundedReceiver<Order>,
    /// For started workers, which send kill requests.
    own: mpsc::WeakUnboundedSender<Order>,
    last_request: u32,
    waiting: HashMap<u32, Reply>,
    arriving: Option<Arriving>,
    running: HashMap<u32, oneshot::Sender<WorkerEnd>>,
    has_log: bool,
    /// Warnings that arrived before the log was set up.
    warnings: Vec<Text>,
}

impl Exchange {
    pub(super) fn new(
        channel: Channel,
        orders: mpsc::UnboundedReceiver<Order>,
        own: mpsc::WeakUnboundedSender<Order>,
    ) -> Self {
        Self {
            channel,
            orders,
            own,
            last_request: 0,
            waiting: HashMap::new(),
            arriving: None,
            running: HashMap::new(),
            has_log: false,
            warnings: Vec::new(),
        }
    }

    /// Runs until all clients are dropped, or the launcher has ended.
    pub(super) async fn run(mut self) -> End {
        loop {
            let outcome = tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => {
                        self.order(order);
                        Ok(())
                    }
                    None => return End::Requested,
                },
                message = self.channel.next() => message.and_then(|message| self.handle(message)),
            };
            if let Err(error) = outcome {
                return End::Unexpected(
                    format!("no HSM can be opened without the launcher: {error}").into(),
                );
            }
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Send(request) => self.channel.send(&request),
            Order::LogWarnings => {
                self.has_log = true;
                self.warnings.drain(..).for_each(|text| log(&text));
            }
            Order::Start {
                hsm,
                sessions,
                settings,
                reply,
            } => {
                self.last_request = self.last_request.wrapping_add(1);
                self.waiting.insert(self.last_request, reply);
                self.channel.send(&FrontRequest::Start {
                    request: self.last_request,
                    hsm,
                    sessions,
                    settings,
                });
            }
        }
    }

    fn handle(&mut self, received: Message) -> io::Result<()> {
        match received.message {
            FrontMessage::Started {
                request,
                worker,
                sessions,
            } => {
                let reply = self.reply_to(request)?;
                self.arriving = Some(Arriving::new(worker, sessions, reply));
                self.arrive(received.descriptors)
            }
            FrontMessage::Descriptors => self.arrive(received.descriptors),
            FrontMessage::NotStarted { request, reason } => {
                let reply = self.reply_to(request)?;
                // The caller may have stopped waiting.
                drop(reply.send(Err(io::Error::other(reason.to_string()))));
                Ok(())
            }
            FrontMessage::Ended { worker, end } => {
                if let Some(running) = self.running.remove(&worker) {
                    let _ = running.send(end);
                }
                Ok(())
            }
            FrontMessage::Warning(text) => {
                match self.has_log {
                    true => log(&text),
                    false => self.warnings.push(text),
                }
                Ok(())
            }
        }
    }

    fn reply_to(&mut self, request: u32) -> io::Result<Reply> {
        let reply = self.waiting.remove(&request);
        reply.ok_or_else(|| unexpected("reply"))
    }

    fn arrive(&mut self, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let arriving = self.arriving.as_mut();
        let arriving = arriving.ok_or_else(|| unexpected("descriptors"))?;
        if arriving.add(descriptors)
            && let Some(arrived) = self.arriving.take()
        {
            self.finish(arrived);
        }
        Ok(())
    }

    fn finish(&mut self, arrived: Arriving) {
        let number = arrived.number;
        let (reply, descriptors) = arrived.into_parts();
        let orders = self.own.upgrade().ok_or_else(gone);
        let started = descriptors.and_then(|descriptors| Ok((descriptors, orders?)));
        let started = started.map(|(descriptors, orders)| {
            let (ended, end) = oneshot::channel();
            self.running.insert(number, ended);
            descriptors.of(WorkerProcess { number, orders }, end)
        });
        if started.is_err() {
            self.channel.send(&FrontRequest::Kill { worker: number });
        }
        // If the caller has stopped waiting, the worker is dropped, which kills it.
        drop(reply.send(started));
    }
}

fn log(warning: &Text) {
    tracing::warn!(reason = %warning, "warning of the launcher");
}

fn unexpected(what: &str) -> io::Error {
    io::Error::other(format!("the launcher sent unexpected {what}"))
}
