//! Several frames in one packet. This saves system calls and wake-ups.

use zeroize::Zeroizing;

use crate::hsm_protocol::wire::{FrameError, MAX_FRAME};

/// The most frames of one packet.
pub const MAX_BATCH: usize = 8;

/// A packet with at most [`MAX_BATCH`] frames and [`MAX_FRAME`] bytes. It is wiped when dropped, because it may contain plaintexts.
#[derive(Default)]
pub struct Batch {
    packet: Zeroizing<Vec<u8>>,
    frames: usize,
}

impl Batch {
    /// Adds a frame. If the frame does not fit, it starts a new packet, and the full packet is returned.
    #[must_use]
    pub fn push(&mut self, frame: Vec<u8>) -> Option<Self> {
        let frame = Zeroizing::new(frame);
        let fits = self.packet.len() + frame.len() <= MAX_FRAME && !self.is_full();
        if self.frames > 0 && fits {
            self.append(&frame);
            return None;
        }
        let first = Self {
            packet: frame,
            frames: 1,
        };
        let full = std::mem::replace(self, first);
        (full.frames > 0).then_some(full)
    }

    /// Appends a frame. Wipes the old buffer when a larger one is allocated.
    fn append(&mut self, frame: &[u8]) {
        let length = self.packet.len() + frame.len();
        if length > self.packet.capacity() {
            let mut longer = Zeroizing::new(Vec::with_capacity(length * 2));
            longer.extend_from_slice(&self.packet);
            self.packet = longer;
        }
        self.packet.extend_from_slice(frame);
        self.frames += 1;
    }

    /// Returns whether it has the maximum number of frames.
    pub fn is_full(&self) -> bool {
        self.frames >= MAX_BATCH
    }

    /// Returns whether it has no frame.
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// The bytes of the packet.
    pub fn packet(&self) -> &[u8] {
        &self.packet
    }
}

/// Reads the frames of a packet: all of them or none.
pub(super) fn read_all<T>(
    mut packet: &[u8],
    read: impl Fn(&[u8]) -> Result<(T, &[u8]), FrameError>,
) -> Result<Vec<T>, FrameError> {
    let mut frames = Vec::with_capacity(1);
    loop {
        let (frame, rest) = read(packet)?;
        frames.push(frame);
        if rest.is_empty() {
            return Ok(frames);
        }
        if frames.len() == MAX_BATCH {
            return Err(FrameError::Illegal("number of frames"));
        }
        packet = rest;
    }
}

/// Returns the frame if the packet has no further bytes.
pub(super) fn only<T>((frame, rest): (T, &[u8])) -> Result<T, FrameError> {
    match rest.is_empty() {
        true => Ok(frame),
        false => Err(FrameError::Long),
    }
}
