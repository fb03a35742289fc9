//! HTTP/1: where heads and bodies begin and end in the bytes that come.
//!
//! hyper gets a head, then nothing more until it has parsed it: what follows is the body, whose length is known then, and behind it the next head.
//! So no byte of a next head is taken for one of a body, although hyper would read both at once.

use super::bound::{Flood, MAX_HEAD};
use crate::server::connection::activity::{Activity, Begun};

/// The place in the bytes that came.
#[derive(Default)]
pub(super) struct Http1 {
    place: Place,
    /// Bytes since the last body, or since the connection began.
    head: usize,
    /// Whether only a carriage return, or nothing, has come since the last line feed.
    is_line_empty: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In a head.
    #[default]
    Head,
    /// Behind an empty line, which should be the end of a head.
    HeadDone,
    /// In a body; the number of bytes that are left of it.
    Body(u64),
    /// In a body whose length nobody has announced, or behind it.
    Unframed,
}

impl Http1 {
    /// As [`super::Protocol::take`].
    pub(super) fn take(&mut self, bytes: &[u8], activity: &Activity) -> Result<usize, Flood> {
        self.note_request(activity);
        match self.place {
            Place::Head | Place::HeadDone => self.take_head(bytes, activity),
            Place::Body(left) => Ok(self.take_body(bytes, left)),
            Place::Unframed => {
                // It may be the next head. Its time runs as if it was: after the request the connection has `header_timeout` only.
                activity.head_begins();
                Ok(bytes.len())
            }
        }
    }

    fn note_request(&mut self, activity: &Activity) {
        match (activity.take_begun(), self.place) {
            (Some(Begun::Sized(0)), Place::HeadDone) => self.begin_head(),
            (Some(Begun::Sized(length)), Place::HeadDone) => self.place = Place::Body(length),
            // Either the body has no announced length, or hyper sees another end of the head than we do.
            (Some(_), _) => self.place = Place::Unframed,
            (None, Place::Unframed) if !activity.has_requests() => self.begin_head(),
            // It was not a head but an empty line before one.
            (None, Place::HeadDone) => self.place = Place::Head,
            (None, _) => {}
        }
    }

    fn begin_head(&mut self) {
        *self = Self::default();
    }

    fn take_head(&mut self, bytes: &[u8], activity: &Activity) -> Result<usize, Flood> {
        activity.head_begins();
        let room = MAX_HEAD - self.head;
        let bytes = bytes.get(..room).unwrap_or(bytes);
        if bytes.is_empty() {
            return Err(Flood);
        }
        let end = bytes.iter().position(|byte| self.ends_head(*byte));
        let taken = end.map_or(bytes.len(), |at| at + 1);
        if end.is_some() {
            self.place = Place::HeadDone;
        }
        self.head += taken;
        Ok(taken)
    }

    /// Whether this byte ends an empty line.
    fn ends_head(&mut self, byte: u8) -> bool {
        let was_empty = self.is_line_empty;
        self.is_line_empty = byte == b'\n' || (was_empty && byte == b'\r');
        was_empty && byte == b'\n'
    }

    fn take_body(&mut self, bytes: &[u8], left: u64) -> usize {
        let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        match left - taken as u64 {
            0 => self.begin_head(),
            left => self.place = Place::Body(left),
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::connection::activity::Judgement;
    use crate::server::connection::activity::tests::activity;
    use std::time::Duration;

    const HEAD: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n";

    fn is_head_due(activity: &Activity) -> bool {
        activity.judge(Duration::ZERO, Duration::MAX) == Judgement::HeadTooSlow
    }

    #[test]
    fn a_request_and_half_a_head_in_one_packet_are_told_apart() {
        let (activity, mut http1) = (activity(true), Http1::default());
        let packet = [HEAD, b"body!", b"POST / HT"].concat();
        assert_eq!(http1.take(&packet, &activity), Ok(HEAD.len()));
        let busy = activity.request_begins(Some(5));
        let rest = &packet[HEAD.len()..];
        assert_eq!(http1.take(rest, &activity), Ok(5));
        assert_eq!(http1.take(&rest[5..], &activity), Ok(9));
        drop(busy);
        assert!(is_head_due(&activity));
        drop(activity.request_begins(Some(0)));
        assert!(!is_head_due(&activity));
    }

    #[test]
    fn a_request_alone_leaves_no_head_due_however_it_is_cut() {
        let request = [HEAD, b"body!"].concat();
        for cut in 1..request.len() {
            let (activity, mut http1) = (activity(true), Http1::default());
            let mut busy = None;
            for part in [&request[..cut], &request[cut..]] {
                let mut rest = part;
                while !rest.is_empty() {
                    let taken = http1.take(rest, &activity).unwrap();
                    rest = &rest[taken..];
                    if http1.place == Place::HeadDone {
                        busy = Some(activity.request_begins(Some(5)));
                    }
                }
            }
            assert!(busy.take().is_some());
            assert!(!is_head_due(&activity), "cut at {cut}");
        }
    }

    #[test]
    fn empty_lines_before_a_head_are_not_its_end() {
        let (activity, mut http1) = (activity(true), Http1::default());
        let mut rest = [b"\r\n\n\r\n", HEAD].concat();
        while !rest.is_empty() {
            let taken = http1.take(&rest, &activity).unwrap();
            rest.drain(..taken);
        }
        assert_eq!(http1.place, Place::HeadDone);
        assert!(is_head_due(&activity));
    }

    #[test]
    fn what_follows_a_body_without_a_length_may_be_a_head() {
        let (activity, mut http1) = (activity(true), Http1::default());
        http1.take(HEAD, &activity).unwrap();
        let busy = activity.request_begins(None);
        assert_eq!(http1.take(b"0\r\n\r\nPOST", &activity), Ok(9));
        drop(busy);
        assert!(is_head_due(&activity));
        assert_eq!(http1.take(HEAD, &activity), Ok(HEAD.len()));
        drop(activity.request_begins(Some(0)));
        assert!(!is_head_due(&activity));
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
