//! HTTP/1: finds where heads and bodies begin and end in the received bytes.
//!
//! hyper gets a head, and then no more bytes until it has parsed this head. Then the length of the body is known, and after the body follows the next
//! head. So no byte of the next head counts as a byte of the body, although hyper would read both at once.

use super::bound::{Flood, MAX_HEAD};
use crate::server::connection::activity::{Activity, NewRequest};

/// The parser's position in the received bytes.
#[derive(Default)]
pub(super) struct Http1 {
    position: Position,
    /// Bytes since the last body, or since the connection began.
    head: usize,
    /// True if only a carriage return, or no byte, has arrived since the last line feed.
    is_line_empty: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Position {
    /// In a head.
    #[default]
    Head,
    /// After an empty line, which should be the end of a head.
    HeadDone,
    /// In a body of which this number of bytes is missing.
    Body(u64),
    /// In a body without an announced length, or after it.
    Unframed,
}

impl Http1 {
    /// See [`super::Protocol::take`].
    pub(super) fn take(&mut self, bytes: &[u8], activity: &Activity) -> Result<usize, Flood> {
        self.note_request(activity);
        match self.position {
            Position::Head | Position::HeadDone => self.take_head(bytes, activity),
            Position::Body(left) => Ok(self.take_body(bytes, left)),
            Position::Unframed => {
                // These bytes may be the next head, so its timeout starts: after this request, the connection has `header_timeout` only.
                activity.head_begins();
                Ok(bytes.len())
            }
        }
    }

    fn note_request(&mut self, activity: &Activity) {
        match (activity.take_new_request(), self.position) {
            (Some(NewRequest::Sized(0)), Position::HeadDone) => self.begin_head(),
            (Some(NewRequest::Sized(length)), Position::HeadDone) => {
                self.position = Position::Body(length)
            }
            // The body has no announced length, or hyper found a different end of the head.
            (Some(_), _) => self.position = Position::Unframed,
            (None, Position::Unframed) if !activity.has_requests() => self.begin_head(),
            // It was an empty line before a head.
            (None, Position::HeadDone) => self.position = Position::Head,
            (None, _) => {}
        }
    }

    fn begin_head(&mut self) {
        *self = Self::default();
    }

    fn take_head(&mut self, bytes: &[u8], activity: &Activity) -> Result<usize, Flood> {
        activity.head_begins();
        let available = MAX_HEAD - self.head;
        let bytes = bytes.get(..available).unwrap_or(bytes);
        if bytes.is_empty() {
            return Err(Flood);
        }
        let end = bytes.iter().position(|byte| self.ends_head(*byte));
        let taken = end.map_or(bytes.len(), |at| at + 1);
        if end.is_some() {
            self.position = Position::HeadDone;
        }
        self.head += taken;
        Ok(taken)
    }

    /// Returns whether this byte ends an empty line.
    fn ends_head(&mut self, byte: u8) -> bool {
        let was_empty = self.is_line_empty;
        self.is_line_empty = byte == b'\n' || (was_empty && byte == b'\r');
        was_empty && byte == b'\n'
    }

    fn take_body(&mut self, bytes: &[u8], left: u64) -> usize {
        let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        match left - taken as u64 {
            0 => self.begin_head(),
            left => self.position = Position::Body(left),
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::connection::activity::TimeoutState;
    use crate::server::connection::activity::tests::activity;
    use std::time::Duration;

    const HEAD: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n";

    fn is_head_incomplete(activity: &Activity) -> bool {
        activity.timeout_state(Duration::ZERO, Duration::MAX) == TimeoutState::HeadTooSlow
    }

    #[test]
    fn a_request_and_half_a_head_in_one_packet_are_distinguished() {
        let (activity, mut http1) = (activity(true), Http1::default());
        let packet = [HEAD, b"body!", b"POST / HT"].concat();
        assert_eq!(http1.take(&packet, &activity), Ok(HEAD.len()));
        let in_progress = activity.request_begins(Some(5));
        let rest = &packet[HEAD.len()..];
        assert_eq!(http1.take(rest, &activity), Ok(5));
        assert_eq!(http1.take(&rest[5..], &activity), Ok(9));
        drop(in_progress);
        assert!(is_head_incomplete(&activity));
        drop(activity.request_begins(Some(0)));
        assert!(!is_head_incomplete(&activity));
    }

    #[test]
    fn a_single_request_leaves_no_incomplete_head_wherever_it_is_split() {
        let request = [HEAD, b"body!"].concat();
        for cut in 1..request.len() {
            let (activity, mut http1) = (activity(true), Http1::default());
            let mut in_progress = None;
            for part in [&request[..cut], &request[cut..]] {
                let mut rest = part;
                while !rest.is_empty() {
                    let taken = http1.take(rest, &activity).unwrap();
                    rest = &rest[taken..];
                    if http1.position == Position::HeadDone {
                        in_progress = Some(activity.request_begins(Some(5)));
                    }
                }
            }
            assert!(in_progress.take().is_some());
            assert!(!is_head_incomplete(&activity), "cut at {cut}");
        }
    }

    #[test]
    fn empty_lines_before_a_head_do_not_end_it() {
        let (activity, mut http1) = (activity(true), Http1::default());
        let mut rest = [b"\r\n\n\r\n", HEAD].concat();
        while !rest.is_empty() {
            let taken = http1.take(&rest, &activity).unwrap();
            rest.drain(..taken);
        }
        assert_eq!(http1.position, Position::HeadDone);
        assert!(is_head_incomplete(&activity));
    }

    #[test]
    fn bytes_after_a_body_without_a_length_may_be_a_head() {
        let (activity, mut http1) = (activity(true), Http1::default());
        http1.take(HEAD, &activity).unwrap();
        let in_progress = activity.request_begins(None);
        assert_eq!(http1.take(b"0\r\n\r\nPOST", &activity), Ok(9));
        drop(in_progress);
        assert!(is_head_incomplete(&activity));
        assert_eq!(http1.take(HEAD, &activity), Ok(HEAD.len()));
        drop(activity.request_begins(Some(0)));
        assert!(!is_head_incomplete(&activity));
    }

    #[test]
    fn heads_are_bounded() {
        let (activity, mut http1) = (activity(true), Http1::default());
        let long = vec![b'x'; MAX_HEAD + 1];
        assert_eq!(http1.take(&long, &activity), Ok(MAX_HEAD));
        assert_eq!(http1.take(b"x", &activity), Err(Flood));
        let mut http1 = Http1::default();
        let mut empty_lines = 0;
        while http1.take(b"\r\n", &activity).is_ok() {
            empty_lines += 1;
        }
        assert_eq!(empty_lines, MAX_HEAD / 2);
    }
}
