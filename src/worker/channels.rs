//! The channels of a worker to the front.
//!
//! # Invariants
//! - An invalid frame of the front ends the worker: a compromised front learns nothing by trying.

use std::collections::VecDeque;
use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use zeroize::Zeroize;

use crate::hsm_protocol::{Batch, FromSession, Job, MAX_CONTROL_FRAME, MAX_FRAME, News, Order};
use crate::pkcs11::JobChannel;

/// How long answers are held back, from the begin of the first job. A job that has begun by then still ends first.
const HOLD: Duration = Duration::from_micros(500);

/// If a read takes less than this, the packet had already arrived and the session did not sleep.
const NO_SLEEP: Duration = Duration::from_micros(15);

/// The socket of one session.
///
/// While quick jobs wait, their answers are sent in one packet, because each packet wakes the front.
pub(super) struct SessionChannel {
    socket: OwnedFd,
    buffer: Vec<u8>,
    jobs: VecDeque<Job>,
    answers: Batch,
    /// When the first job of the answers began.
    held_since: Instant,
    /// True if the last packet of jobs had arrived before the session tried to read it.
    is_pressed: bool,
    /// [`HOLD`], but in tests.
    hold: Duration,
    control: Arc<ControlChannel>,
}

impl SessionChannel {
    pub(super) fn new(socket: OwnedFd, control: &Arc<ControlChannel>) -> Self {
        Self {
            socket,
            buffer: vec![0; MAX_FRAME],
            jobs: VecDeque::new(),
            answers: Batch::default(),
            held_since: Instant::now(),
            is_pressed: false,
            hold: HOLD,
            control: Arc::clone(control),
        }
    }

    /// Waits for jobs; none at the end of the channel. Sends the answers that are held back before the session sleeps.
    fn await_jobs(&mut self) -> Option<()> {
        if !self.answers.is_empty() {
            let more = match self.is_pressed {
                true => self.receive(RecvFlags::DONTWAIT),
                false => Some(false),
            };
            if more == Some(true) {
                return Some(());
            }
            // Also at the end of the channel, because the front may still read.
            if !self.flush() {
                return None;
            }
            more?;
        }
        let began = Instant::now();
        self.receive(RecvFlags::empty())?;
        self.is_pressed = began.elapsed() < NO_SLEEP;
        Some(())
    }

    /// Reads a packet. Returns whether there was one; none at the end of the channel, or after a packet that is not valid.
    fn receive(&mut self, flags: RecvFlags) -> Option<bool> {
        let jobs = match receive(&self.socket, &mut self.buffer, flags) {
            Received::Frame(packet) => {
                let jobs = Job::from_packet(packet).map_err(|error| error.to_string());
                // The packet may contain a plaintext.
                packet.zeroize();
                jobs
            }
            Received::TooLong => Err(TOO_LONG.to_owned()),
            Received::Nothing => return Some(false),
            Received::End => return None,
        };
        let jobs = jobs.inspect_err(|error| self.control.end(error));
        self.jobs.extend(jobs.ok()?);
        Some(true)
    }

    fn flush(&mut self) -> bool {
        let answers = std::mem::take(&mut self.answers);
        transmit(&self.socket, answers.packet(), SendFlags::NOSIGNAL)
    }
}

impl JobChannel for SessionChannel {
    fn next(&mut self) -> Option<Job> {
        if self.jobs.is_empty() {
            self.await_jobs()?;
        }
        self.jobs.pop_front()
    }

    fn send(&mut self, frame: &FromSession) -> bool {
        if self.answers.is_empty() {
            let worked = match frame {
                FromSession::Answer(answer) => answer.cost.worked,
                FromSession::Ready => Duration::ZERO,
            };
            let now = Instant::now();
            self.held_since = now.checked_sub(worked).unwrap_or(now);
        }
        if let Some(full) = self.answers.push(frame.to_frame())
            && !transmit(&self.socket, full.packet(), SendFlags::NOSIGNAL)
        {
            return false;
        }
        match self.answers.is_full() || self.held_since.elapsed() >= self.hold {
            true => self.flush(),
            false => true,
        }
    }
}

/// The socket for everything that is not a job.
pub(super) struct ControlChannel(OwnedFd);

impl ControlChannel {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Sends a report. Waits while the socket buffer is full. [`Self::next`] notices a front that has ended.
    pub(super) fn send(&self, news: &News) {
        if let Ok(frame) = news.to_frame() {
            transmit(&self.0, &frame, SendFlags::NOSIGNAL);
        }
    }

    /// Sends a report if the socket buffer has space for it. Returns whether the report was sent.
    pub(super) fn offer(&self, news: &News) -> bool {
        let frame = news.to_frame();
        frame
            .is_ok_and(|frame| transmit(&self.0, &frame, SendFlags::NOSIGNAL | SendFlags::DONTWAIT))
    }

    /// Waits for an order. Returns none when the front has closed the channel or sent an invalid order.
    pub(super) fn next(&self) -> Option<Order> {
        let mut buffer = vec![0; MAX_CONTROL_FRAME];
        let order = match receive(&self.0, &mut buffer, RecvFlags::empty()) {
            Received::Frame(frame) => Order::from_frame(frame).map_err(|error| error.to_string()),
            Received::TooLong => Err(TOO_LONG.to_owned()),
            Received::Nothing | Received::End => return None,
        };
        order.inspect_err(|error| self.end(error)).ok()
    }

    /// Ends the worker after an invalid frame: [`Self::next`] returns none from now on.
    fn end(&self, error: &dyn Display) {
        tracing::error!(%error, "the front sent an invalid frame; this worker ends");
        // The front may have closed it already.
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}

const TOO_LONG: &str = "the frame is too long";

/// The result of a read.
enum Received<'a> {
    Frame(&'a mut [u8]),
    /// A packet that is longer than a frame may be.
    TooLong,
    /// No packet yet, when the flags say not to wait.
    Nothing,
    /// No more packets.
    End,
}

fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8], flags: RecvFlags) -> Received<'a> {
    loop {
        return match recv(socket, &mut *buffer, flags | RecvFlags::TRUNC) {
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Received::Nothing,
            Err(_) | Ok((_, 0)) => Received::End,
            Ok((_, length)) => match buffer.get_mut(..length) {
                Some(frame) => Received::Frame(frame),
                None => Received::TooLong,
            },
        };
    }
}

fn transmit(socket: &OwnedFd, frame: &[u8], flags: SendFlags) -> bool {
    loop {
        return match send(socket, frame, flags) {
            Err(Errno::INTR) => continue,
            sent => sent.is_ok_and(|sent| sent == frame.len()),
        };
    }
}

#[cfg(test)]
mod tests;
