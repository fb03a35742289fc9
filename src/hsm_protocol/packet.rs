//! Packets of `SOCK_SEQPACKET` sockets, with descriptors.
//!
//! # Invariants
//! - Descriptors are received with CLOEXEC.
//! - A packet that does not fit into the buffer is an error. It is not truncated.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

/// The maximum number of descriptors in a packet. The limit of the kernel is 253 (`SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 200;

/// The behaviour when a packet cannot be sent or received at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The thread waits.
    Yes,
    /// The call fails with [`io::ErrorKind::WouldBlock`].
    No,
}

/// A received packet.
#[derive(Debug)]
pub struct Packet {
    /// Its bytes; at least one.
    pub bytes: Vec<u8>,
    /// Its descriptors.
    pub descriptors: Vec<OwnedFd>,
    /// True if descriptors were lost: this process has none left, or more than [`MAX_DESCRIPTORS`] were sent.
    pub lost_descriptors: bool,
}

/// A pair of connected sockets, both with CLOEXEC.
///
/// # Errors
/// When the process or the system has no descriptors left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// Sends a packet.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] with [`Wait::No`]; [`io::ErrorKind::BrokenPipe`], without a signal, when the other side is closed.
pub fn send(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    wait: Wait,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = descriptors.is_empty() || control.push(SendAncillaryMessage::ScmRights(descriptors));
    if !fits {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = match wait {
        Wait::Yes => SendFlags::NOSIGNAL,
        Wait::No => SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    };
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)?;
    Ok(())
}

/// Receives a packet of at most `max` bytes. Returns `None` when the other side is closed.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for a longer packet; [`io::ErrorKind::WouldBlock`] with [`Wait::No`].
pub fn receive(socket: impl AsFd, max: usize, wait: Wait) -> io::Result<Option<Packet>> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; max];
    let flags = match wait {
        Wait::Yes => RecvFlags::CMSG_CLOEXEC,
        Wait::No => RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    };
    let buffer = &mut [IoSliceMut::new(&mut bytes)];
    let received = loop {
        match recvmsg(&socket, buffer, &mut control, flags) {
            // The other process ended without reading all packets. This error is returned once, before the packets that it sent.
            Err(rustix::io::Errno::CONNRESET) => {}
            received => break received?,
        }
    };
    let descriptors = control.drain().flat_map(descriptors_of).collect();
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    bytes.truncate(received.bytes);
    Ok((received.bytes > 0).then_some(Packet {
        bytes,
        descriptors,
        lost_descriptors: received.flags.contains(ReturnFlags::CTRUNC),
    }))
}

fn descriptors_of(message: RecvAncillaryMessage<'_>) -> Vec<OwnedFd> {
    match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_a_process_are_received_even_if_it_ended_with_unread_packets() {
        let (ours, theirs) = pair().unwrap();
        send(&ours, b"a packet that is not read", &[], Wait::No).unwrap();
        send(&theirs, b"last words", &[], Wait::No).unwrap();
        drop(theirs);
        let packet = receive(&ours, 64, Wait::No).unwrap().unwrap();
        assert_eq!(packet.bytes, b"last words");
        assert!(receive(&ours, 64, Wait::No).unwrap().is_none());
    }
}
