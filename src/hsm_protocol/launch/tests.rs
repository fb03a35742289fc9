//! Properties of the parsers, on frames and bytes from a seeded generator.

use std::fmt::Debug;

use super::super::wire::VERSION;
use super::*;
use crate::test_random::SplitMix64;

/// Generates messages. A seed determines them.
struct Random(SplitMix64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    fn next(&mut self) -> u64 {
        self.0.next()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    fn bytes(&mut self, max: u64) -> Vec<u8> {
        let length = self.below(max + 1);
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }

    fn name(&mut self) -> HsmName {
        let alphabet = b"abcXYZ019-_.";
        let length = 1 + self.below(64);
        let name = (0..length).map(|_| char::from(alphabet[self.below(12) as usize]));
        HsmName::new(&name.collect::<String>()).unwrap()
    }

    fn settings(&mut self) -> SettingsBytes {
        let max = [0, 100, MAX_SETTINGS as u64][self.below(3) as usize];
        SettingsBytes::new(self.bytes(max)).unwrap()
    }

    fn text(&mut self) -> Text {
        Text::new(&String::from_utf8_lossy(&self.bytes(700)))
    }

    fn sessions(&mut self) -> u16 {
        1 + self.below(u64::from(MAX_SESSIONS)) as u16
    }

    fn number(&mut self) -> u32 {
        self.next() as u32
    }
}

fn front_request(random: &mut Random) -> FrontRequest {
    match random.below(4) {
        0 => FrontRequest::HandlesSignals,
        1 => FrontRequest::Start {
            request: random.number(),
            hsm: random.name(),
            sessions: random.sessions(),
            settings: SettingsChoice::of(random.below(2) as u8).unwrap(),
        },
        2 => FrontRequest::Kill {
            worker: random.number(),
        },
        _ => FrontRequest::Good {
            worker: random.number(),
        },
    }
}

fn front_message(random: &mut Random) -> FrontMessage {
    match random.below(6) {
        0 => FrontMessage::Started {
            request: random.number(),
            worker: random.number(),
            sessions: random.sessions(),
        },
        1 => FrontMessage::Descriptors,
        2 => FrontMessage::NotStarted {
            request: random.number(),
            reason: random.text(),
        },
        3 => FrontMessage::Ended {
            worker: random.number(),
            end: WorkerEnd::Exited(random.next() as u8),
        },
        4 => FrontMessage::Ended {
            worker: random.number(),
            end: WorkerEnd::Killed(1 + random.below(127) as u8),
        },
        _ => FrontMessage::Warning(random.text()),
    }
}

fn worker_request(random: &mut Random) -> WorkerRequest {
    match random.below(5) {
        0 => WorkerRequest::Settings(random.settings()),
        1 => WorkerRequest::LastGood,
        2 => WorkerRequest::Parts,
        3 => WorkerRequest::LoginBegins {
            serial: Serial(random.array()),
            pin: PinFingerprint(random.array()),
        },
        _ => WorkerRequest::LoginEnded(match random.below(3) {
            0 => LoginOutcome::LoggedIn,
            1 => LoginOutcome::Rejected(random.number()),
            _ => LoginOutcome::Other,
        }),
    }
}

fn worker_message(random: &mut Random) -> WorkerMessage {
    match random.below(7) {
        0 => WorkerMessage::Stored,
        1 => WorkerMessage::LastGood(None),
        2 => WorkerMessage::LastGood(Some(random.settings())),
        3 => WorkerMessage::Parts {
            settings: random.settings(),
            sessions: random.sessions(),
        },
        4 => WorkerMessage::Descriptors,
        5 => WorkerMessage::LoginAllowed,
        _ => WorkerMessage::LoginRefused(random.text()),
    }
}

/// Checks that the bytes are rejected, or equal to the encoding of the decoded frame.
fn is_canonical<F: Frame>(bytes: &[u8]) -> bool {
    F::decode(bytes).is_ok_and(|frame| {
        assert_eq!(frame.encode(), bytes, "a second encoding of a frame");
        true
    })
}

fn accepted_directions(bytes: &[u8]) -> usize {
    let directions = [
        is_canonical::<FrontRequest>(bytes),
        is_canonical::<FrontMessage>(bytes),
        is_canonical::<WorkerRequest>(bytes),
        is_canonical::<WorkerMessage>(bytes),
    ];
    directions.into_iter().filter(|accepted| *accepted).count()
}

fn check<F: Frame + PartialEq + Debug>(seed: u64, generate: fn(&mut Random) -> F) {
    let mut random = Random::new(seed);
    for _ in 0..400 {
        let frame = generate(&mut random);
        let bytes = frame.encode();
        assert!(bytes.len() <= MAX_FRAME);
        assert_eq!(F::decode(&bytes).as_ref(), Ok(&frame));
        assert_eq!(accepted_directions(&bytes), 1, "{frame:?}");
        let cut = random.below(bytes.len() as u64) as usize;
        assert!(
            F::decode(&bytes[..cut]).is_err(),
            "{cut} bytes of {frame:?}"
        );
        let longer = [bytes.as_slice(), &[random.next() as u8]].concat();
        assert!(F::decode(&longer).is_err(), "one byte more than {frame:?}");
        let mut changed = bytes;
        let at = random.below(changed.len() as u64) as usize;
        changed[at] ^= 1 << random.below(8);
        accepted_directions(&changed);
    }
}

#[test]
fn frames_have_one_encoding_and_one_direction() {
    check(1, front_request);
    check(2, front_message);
    check(3, worker_request);
    check(4, worker_message);
}

#[test]
fn random_bytes_are_rejected_or_canonical() {
    let mut random = Random::new(5);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut bytes = random.bytes(40);
        // A valid version and kind, so that the fields are parsed.
        if let [version, kind, ..] = bytes.as_mut_slice() {
            *version = VERSION;
            *kind = 0x10 + *kind % 0x40;
        }
        accepted += accepted_directions(&bytes);
    }
    assert!(accepted > 0, "the generator reaches no frame");
}

#[test]
fn values_outside_their_limits_are_rejected() {
    let start = |name: &[u8], sessions: u16, settings: u8| {
        let frame = begin(0x11).u32(1).bytes(name).u16(sessions);
        FrontRequest::decode(&frame.u8(settings).end())
    };
    assert!(start(b"a", 1, 0).is_ok());
    for (name, sessions, settings, field) in [
        (b"".as_slice(), 1, 0, "hsm"),
        (b"../a", 1, 0, "hsm"),
        (b"a b", 1, 0, "hsm"),
        (b"\xff", 1, 0, "hsm"),
        (&[b'a'; 65], 1, 0, "hsm"),
        (b"a", 0, 0, "sessions"),
        (b"a", MAX_SESSIONS + 1, 0, "sessions"),
        (b"a", 1, 2, "settings"),
    ] {
        assert_eq!(
            start(name, sessions, settings),
            Err(FrameError::Illegal(field))
        );
    }
    let version = [VERSION + 1, 0x10];
    assert_eq!(FrontRequest::decode(&version), Err(FrameError::Version));
    assert_eq!(
        FrontRequest::decode(&[VERSION, 0x14]),
        Err(FrameError::Illegal("kind"))
    );
    assert_eq!(SettingsBytes::new(vec![0; MAX_SETTINGS + 1]), None);
    let text = begin(0x24).bytes(b"line\nline").end();
    assert_eq!(
        FrontMessage::decode(&text),
        Err(FrameError::Illegal("text"))
    );
    assert_eq!(Text::new("line\nline").as_str(), "line line");
}
