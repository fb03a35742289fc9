//! HTTP/2: parses the headers of frames (RFC 9113 section 4.1).
//!
//! All bytes since the last complete head count against [`MAX_HEAD`], except the payload of DATA frames. Empty DATA frames count.
//!
//! While a request is in progress, the payload of DATA is a request's body, with the limits of bodies. Otherwise it is a body that arrives before hyper
//! has begun the request, because h2 first reads all available bytes, or after the response. Flow control bounds both.

use super::bound::{Flood, MAX_HEAD};
use crate::server::connection::activity::Activity;

/// The length of the client's connection preface in bytes (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// The length of a frame's header in bytes.
const FRAME_HEADER: usize = 9;

/// The limit of DATA payload in bytes while no request is in progress: twice the flow-control window that hyper gives a connection.
const MAX_STRAY_DATA: usize = 2 << 20;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// The position of the parser in the received bytes.
pub(super) struct Http2 {
    preface_left: usize,
    header: Header,
    payload_left: usize,
    is_data: bool,
    block: Block,
    /// The stream of the last complete head.
    last_stream: u32,
    /// The bytes since the last complete head, without the payload of DATA.
    counted: usize,
    /// The payload of DATA in bytes since a request was in progress.
    stray_data: usize,
    /// True if this parser has reported an incomplete head.
    has_head: bool,
    /// True if the last frame header begins a stream.
    begins_stream: bool,
}

/// A frame's header: the bytes that have arrived, and their number.
#[derive(Default)]
struct Header(u128, usize);

/// The state of a block of header fields: HEADERS, then CONTINUATION until a frame has the flag END_HEADERS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Closed,
    Open,
    /// The block ends with this frame.
    Closing,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            preface_left: PREFACE,
            header: Header::default(),
            payload_left: 0,
            is_data: false,
            block: Block::Closed,
            last_stream: 0,
            counted: 0,
            stray_data: 0,
            has_head: false,
            begins_stream: false,
        }
    }
}

impl Http2 {
    /// See [`super::Protocol::take`]. With `stops`, the bytes end after the frame header that begins a stream.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        activity: &Activity,
        stops: bool,
    ) -> Result<usize, Flood> {
        let has_requests = activity.has_requests();
        if has_requests {
            self.stray_data = 0;
        }
        let mut rest = bytes;
        self.begins_stream = false;
        while let Some((first, others)) = rest.split_first() {
            if stops && self.begins_stream {
                break;
            }
            rest = match (self.preface_left, self.payload_left) {
                (0, 0) => {
                    self.add_to_header(*first);
                    others
                }
                (0, left) => self.pass_payload(rest, left),
                (left, _) => self.pass_preface(rest, left),
            };
            self.end_frame(activity);
        }
        self.note_head(activity);
        let has_stray_data = !has_requests && self.stray_data > MAX_STRAY_DATA;
        match self.counted > MAX_HEAD || has_stray_data {
            true => Err(Flood),
            false => Ok(bytes.len() - rest.len()),
        }
    }

    /// Returns whether the bytes of the last call end where a stream begins.
    pub(super) fn begins_stream(&self) -> bool {
        self.begins_stream
    }

    fn pass_preface<'a>(&mut self, bytes: &'a [u8], left: usize) -> &'a [u8] {
        let (passed, rest) = split(bytes, left);
        self.preface_left -= passed;
        self.counted += passed;
        rest
    }

    fn pass_payload<'a>(&mut self, bytes: &'a [u8], left: usize) -> &'a [u8] {
        let (passed, rest) = split(bytes, left);
        self.payload_left -= passed;
        match self.is_data {
            true => self.stray_data += passed,
            false => self.counted += passed,
        }
        rest
    }

    fn add_to_header(&mut self, byte: u8) {
        self.begins_stream = false;
        let Header(bytes, count) = &mut self.header;
        (*bytes, *count) = (*bytes << 8 | u128::from(byte), *count + 1);
        if *count < FRAME_HEADER {
            return;
        }
        let (length, kind, flags) = self.header.fields();
        // Trailers do not begin a stream.
        self.begins_stream = kind == HEADERS && self.header.stream() > self.last_stream;
        self.payload_left = length;
        self.is_data = kind == DATA && length > 0;
        self.counted += if self.is_data { 0 } else { FRAME_HEADER };
        self.block = match (kind, flags & END_HEADERS) {
            (HEADERS | CONTINUATION, 0) => Block::Open,
            (HEADERS | CONTINUATION, _) => Block::Closing,
            _ => self.block,
        };
    }

    fn end_frame(&mut self, activity: &Activity) {
        if self.header.1 < FRAME_HEADER || self.payload_left > 0 {
            return;
        }
        let stream = self.header.stream();
        self.header = Header::default();
        if self.block == Block::Closing {
            self.block = Block::Closed;
            // Trailers are not a head.
            if stream > self.last_stream {
                (self.last_stream, self.counted) = (stream, 0);
            }
        }
        if self.block == Block::Closed && std::mem::take(&mut self.has_head) {
            activity.head_ends();
        }
    }

    /// Reports a head that is incomplete: an incomplete frame header or block of header fields blocks the other streams of the connection.
    fn note_head(&mut self, activity: &Activity) {
        let is_incomplete = self.header.1 > 0 || self.block != Block::Closed;
        if is_incomplete && !self.has_head {
            self.has_head = true;
            activity.head_begins();
        }
    }
}

impl Header {
    /// Returns the length of the payload, the frame's type and its flags.
    fn fields(&self) -> (usize, u8, u8) {
        let [.., a, b, c, kind, flags, _, _, _, _] = self.0.to_be_bytes();
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        (length, kind, flags)
    }

    /// Returns the stream: the lowest 31 bits.
    fn stream(&self) -> u32 {
        let [.., a, b, c, d] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d]) & (u32::MAX >> 1)
    }
}

/// Splits the bytes at `at`, or at their end if there are fewer. Returns the length of the first part, and the second part.
fn split(bytes: &[u8], at: usize) -> (usize, &[u8]) {
    let (first, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    (first.len(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::connection::activity::TimeoutState;
    use crate::server::connection::activity::tests::activity;
    use std::time::Duration;

    const PING: u8 = 0x6;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        frame_of(1, kind, flags, payload)
    }

    fn frame_of(stream: u32, kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let [.., a, b, c] = payload.to_be_bytes();
        let header = [&[a, b, c, kind, flags][..], &stream.to_be_bytes()].concat();
        [header, vec![0; payload]].concat()
    }

    fn after_preface() -> Http2 {
        let mut http2 = Http2::default();
        let activity = activity(false);
        http2.take(&[b'x'; PREFACE], &activity, false).unwrap();
        http2
    }

    /// Returns how many of these frames pass before the parser reports a flood.
    fn passed(http2: &mut Http2, activity: &Activity, frame: &[u8]) -> usize {
        let most = 4_000_000 / frame.len();
        let mut frames = 0..most;
        frames
            .position(|_| http2.take(frame, activity, false).is_err())
            .unwrap_or(most)
    }

    #[test]
    fn control_frames_are_a_flood_with_and_without_a_request_in_progress() {
        let ping = frame(PING, 0, 8);
        let expected = (MAX_HEAD - PREFACE) / ping.len();
        let activity = activity(false);
        assert_eq!(passed(&mut after_preface(), &activity, &ping), expected);
        let _in_progress = activity.request_begins(Some(1));
        assert_eq!(passed(&mut after_preface(), &activity, &ping), expected);
        let empty = frame(DATA, 0, 0);
        let frames = passed(&mut after_preface(), &activity, &empty);
        assert_eq!(frames, (MAX_HEAD - PREFACE) / empty.len());
    }

    #[test]
    fn bodies_are_bounded_only_without_a_request_in_progress() {
        let activity = activity(false);
        let data = frame(DATA, 0, 10_000);
        let without = passed(&mut after_preface(), &activity, &data);
        assert_eq!(without, MAX_STRAY_DATA / 10_000);
        let _in_progress = activity.request_begins(None);
        let with = passed(&mut after_preface(), &activity, &data);
        assert_eq!(with, 4_000_000 / data.len());
    }

    #[test]
    fn a_complete_head_resets_the_count_even_before_hyper_has_read_it() {
        let (activity, mut http2) = (activity(false), after_preface());
        let head = |stream: u32| frame_of(stream, HEADERS, END_HEADERS, 1_000);
        // h2 reads the whole burst of requests before the first request begins.
        for stream in 1..=1_000 {
            http2.take(&head(stream), &activity, false).unwrap();
        }
        let trailers = head(1_000);
        assert_eq!(
            passed(&mut http2, &activity, &trailers),
            MAX_HEAD / trailers.len()
        );
    }

    #[test]
    fn with_stops_the_bytes_end_where_a_stream_begins() {
        let head = |stream: u32| frame_of(stream, HEADERS, END_HEADERS, 20);
        let (data, trailers) = (frame_of(1, DATA, 0, 30), head(1));
        let bytes = [head(1), data, trailers, head(3), head(5)].concat();
        let (activity, mut http2) = (activity(false), after_preface());
        let _in_progress = activity.request_begins(None);
        let (mut rest, mut parts) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let taken = http2.take(rest, &activity, true).unwrap();
            parts.push((taken, http2.begins_stream()));
            rest = &rest[taken..];
        }
        let (frame, payload) = (FRAME_HEADER, 20);
        let rest_of_first = payload + (FRAME_HEADER + 30) + (FRAME_HEADER + 20);
        let expected = [
            (frame, true),
            (rest_of_first + frame, true),
            (payload + frame, true),
            (payload, false),
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn an_incomplete_frame_or_block_is_an_incomplete_head() {
        let is_incomplete = |activity: &Activity| {
            activity.timeout_state(Duration::ZERO, Duration::MAX) == TimeoutState::HeadTooSlow
        };
        let whole = frame(HEADERS, END_HEADERS, 20);
        let open = frame(HEADERS, 0, 20);
        for (bytes, expected) in [
            (whole.clone(), false),
            ([&whole[..], &whole[..5]].concat(), true),
            ([&whole[..], &whole[..15]].concat(), true),
            (open.clone(), true),
            ([open.clone(), frame(CONTINUATION, 0, 3)].concat(), true),
            ([open, frame(CONTINUATION, END_HEADERS, 0)].concat(), false),
        ] {
            for cut in 0..bytes.len() {
                let (activity, mut http2) = (activity(false), after_preface());
                http2.take(&bytes[..cut], &activity, false).unwrap();
                http2.take(&bytes[cut..], &activity, false).unwrap();
                drop(activity.request_begins(Some(0)));
                assert_eq!(is_incomplete(&activity), expected, "{bytes:?} cut at {cut}");
            }
        }
    }
}
