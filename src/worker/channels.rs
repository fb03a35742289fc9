//! The channels of a worker to the front.
//!
//! # Invariants
//! - A frame that the front should not send ends the worker: a front that is taken over learns nothing by trying.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use zeroize::Zeroize;

use crate::hsm_protocol::{FromSession, Job, MAX_CONTROL_FRAME, MAX_FRAME, News, Order};
use crate::pkcs11::JobChannel;

/// The socket of one session.
pub(super) struct SessionChannel {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl SessionChannel {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            buffer: vec![0; MAX_FRAME],
        }
    }
}

impl JobChannel for SessionChannel {
    fn next(&mut self) -> Option<Job> {
        let frame = receive(&self.socket, &mut self.buffer)?;
        let job = Job::from_frame(frame);
        // It may have held a plaintext.
        frame.zeroize();
        job.inspect_err(|error| tracing::error!(%error, "the front sent a frame that is not a job"))
            .ok()
    }

    fn send(&mut self, frame: &FromSession) -> bool {
        transmit(&self.socket, &frame.to_frame(), SendFlags::NOSIGNAL)
    }
}

/// The socket for everything that is not a job.
pub(super) struct ControlChannel(OwnedFd);

impl ControlChannel {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Sends a report, and waits until the front has room. [`Self::next`] notices a front that has ended.
    pub(super) fn send(&self, news: &News) {
        if let Ok(frame) = news.to_frame() {
            transmit(&self.0, &frame, SendFlags::NOSIGNAL);
        }
    }

    /// Sends a report if the front has room. Returns whether it had.
    pub(super) fn offer(&self, news: &News) -> bool {
        let frame = news.to_frame();
        frame
            .is_ok_and(|frame| transmit(&self.0, &frame, SendFlags::NOSIGNAL | SendFlags::DONTWAIT))
    }

    /// Waits for an order; none when the front has ended the channel.
    pub(super) fn next(&self) -> Option<Order> {
        let mut buffer = vec![0; MAX_CONTROL_FRAME];
        let frame = receive(&self.0, &mut buffer)?;
        let order = Order::from_frame(frame);
        order
            .inspect_err(
                |error| tracing::error!(%error, "the front sent a frame that is not an order"),
            )
            .ok()
    }
}

/// The next packet; none when there is none to come, or it is longer than a frame may be.
fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> Option<&'a mut [u8]> {
    loop {
        return match recv(socket, &mut *buffer, RecvFlags::TRUNC) {
            Err(Errno::INTR) => continue,
            Err(_) | Ok((_, 0)) => None,
            Ok((_, length)) => buffer.get_mut(..length),
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
