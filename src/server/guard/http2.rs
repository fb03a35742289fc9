//! HTTP/2: frames, as far as their headers tell (RFC 9113 section 4.1).
//!
//! What counts against the bound is everything since the last request began, but the payload of DATA while a request is in progress: that has the
//! bounds of bodies. Empty DATA frames count.

use super::bound::{Flood, MAX_HEAD};
use crate::server::activity::Activity;

/// What a client sends first (RFC 9113 section 3.4): so many bytes.
const PREFACE: usize = 24;

/// The bytes of a frame's header.
const FRAME_HEADER: u32 = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// The place in the bytes that came.
pub(super) struct Http2 {
    preface_left: usize,
    /// The bytes of a frame's header that have come, and their number.
    header: (u128, u32),
    payload_left: usize,
    is_counted: bool,
    block: Block,
    /// Bytes that count, since the last request began.
    counted: usize,
    /// Whether it was here that a head began.
    has_head: bool,
}

/// A block of header fields: HEADERS, then CONTINUATION until one has the flag END_HEADERS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Closed,
    Open,
    /// Closed at the end of this frame.
    Closing,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            preface_left: PREFACE,
            header: (0, 0),
            payload_left: 0,
            is_counted: true,
            block: Block::Closed,
            counted: 0,
            has_head: false,
        }
    }
}

impl Http2 {
    /// As [`super::Protocol::take`].
    pub(super) fn take(&mut self, bytes: &[u8], activity: &Activity) -> Result<usize, Flood> {
        if activity.take_begun().is_some() {
            self.counted = 0;
        }
        let mut rest = bytes;
        while let Some((first, others)) = rest.split_first() {
            rest = match (self.preface_left, self.payload_left) {
                (0, 0) => {
                    self.add_to_header(*first, activity);
                    others
                }
                (0, left) => {
                    let (passed, others) = split(rest, left);
                    self.payload_left -= passed;
                    self.counted += if self.is_counted { passed } else { 0 };
                    others
                }
                (left, _) => {
                    let (passed, others) = split(rest, left);
                    self.preface_left -= passed;
                    self.counted += passed;
                    others
                }
            };
            self.end_frame();
        }
        self.note_head(activity);
        match self.counted <= MAX_HEAD {
            true => Ok(bytes.len()),
            false => Err(Flood),
        }
    }

    fn add_to_header(&mut self, byte: u8, activity: &Activity) {
        let (bytes, count) = &mut self.header;
        (*bytes, *count) = (*bytes << 8 | u128::from(byte), *count + 1);
        if *count < FRAME_HEADER {
            return;
        }
        let [.., length_2, length_1, length_0, kind, flags, _, _, _, _] = bytes.to_be_bytes();
        let length = usize::from(length_2) << 16 | usize::from(length_1) << 8;
        self.payload_left = length | usize::from(length_0);
        self.is_counted = kind != DATA || self.payload_left == 0 || !activity.has_requests();
        self.counted += if self.is_counted {
            FRAME_HEADER as usize
        } else {
            0
        };
        self.block = match (kind, flags & END_HEADERS) {
            (HEADERS | CONTINUATION, 0) => Block::Open,
            (HEADERS | CONTINUATION, _) => Block::Closing,
            _ => self.block,
        };
    }

    fn end_frame(&mut self) {
        if self.header.1 == FRAME_HEADER && self.payload_left == 0 {
            self.header = (0, 0);
            if self.block == Block::Closing {
                self.block = Block::Closed;
            }
        }
    }

    /// A frame or a block of header fields that is not complete holds up the connection: its rest is due.
    fn note_head(&mut self, activity: &Activity) {
        let is_due = self.header.1 > 0 || self.block != Block::Closed;
        match (is_due, self.has_head) {
            (true, false) => activity.head_begins(),
            (false, true) => activity.head_ends(),
            _ => {}
        }
        self.has_head = is_due;
    }
}

/// The length of the first part, `at` bytes or all there are, and the rest.
fn split(bytes: &[u8], at: usize) -> (usize, &[u8]) {
    let (first, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    (first.len(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::activity::Judgement;
    use crate::server::activity::tests::activity;
    use std::time::Duration;

    const PING: u8 = 0x6;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let [.., a, b, c] = payload.to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1][..], &vec![0; payload]].concat()
    }

    fn begun() -> Http2 {
        let mut http2 = Http2::default();
        let activity = activity(false);
        http2.take(&[b'x'; PREFACE], &activity).unwrap();
        http2
    }

    /// How many of these frames pass before it is a flood.
    fn passed(http2: &mut Http2, activity: &Activity, frame: &[u8]) -> usize {
        let most = 1_000_000 / frame.len();
        let mut frames = 0..most;
        frames
            .position(|_| http2.take(frame, activity).is_err())
            .unwrap_or(most)
    }

    #[test]
    fn control_frames_are_a_flood_with_and_without_a_request_in_progress() {
        let ping = frame(PING, 0, 8);
        let expected = (MAX_HEAD - PREFACE) / ping.len();
        let activity = activity(false);
        assert_eq!(passed(&mut begun(), &activity, &ping), expected);
        let _busy = activity.request_begins(Some(1));
        let mut http2 = begun();
        assert_eq!(passed(&mut http2, &activity, &ping), MAX_HEAD / ping.len());
        let empty = frame(DATA, 0, 0);
        let frames = passed(&mut begun(), &activity, &empty);
        assert_eq!(frames, (MAX_HEAD - PREFACE) / empty.len());
    }

    #[test]
    fn bodies_count_only_without_a_request() {
        let activity = activity(false);
        let data = frame(DATA, 0, 10_000);
        assert!(passed(&mut begun(), &activity, &data) <= 6);
        let _busy = activity.request_begins(None);
        assert_eq!(passed(&mut begun(), &activity, &data), 99);
    }

    #[test]
    fn a_request_that_begins_starts_the_count_again() {
        let activity = activity(false);
        let mut http2 = begun();
        let head = frame(HEADERS, END_HEADERS, 1_000);
        for _ in 0..1_000 {
            http2.take(&head, &activity).unwrap();
            drop(activity.request_begins(Some(0)));
        }
        assert!(passed(&mut http2, &activity, &head) <= MAX_HEAD / 1_000);
    }

    #[test]
    fn an_incomplete_frame_or_block_is_due() {
        let is_due = |activity: &Activity| {
            activity.judge(Duration::ZERO, Duration::MAX) == Judgement::HeadTooSlow
        };
        let whole = frame(HEADERS, END_HEADERS, 20);
        let open = frame(HEADERS, 0, 20);
        for (bytes, due) in [
            (whole.clone(), false),
            ([&whole[..], &whole[..5]].concat(), true),
            ([&whole[..], &whole[..15]].concat(), true),
            (open.clone(), true),
            ([open.clone(), frame(CONTINUATION, 0, 3)].concat(), true),
            ([open, frame(CONTINUATION, END_HEADERS, 0)].concat(), false),
        ] {
            for cut in 0..bytes.len() {
                let (activity, mut http2) = (activity(false), begun());
                http2.take(&bytes[..cut], &activity).unwrap();
                http2.take(&bytes[cut..], &activity).unwrap();
                drop(activity.request_begins(Some(0)));
                assert_eq!(is_due(&activity), due, "{bytes:?} cut at {cut}");
            }
        }
    }
}
