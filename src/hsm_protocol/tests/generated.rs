//! Generates frames of all kinds from a seed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;

use crate::ekm::{
    Encrypted, KeyAttributes, KeyKind, KeyManagerFault, KeySelector, KeyUsageFlags, Opened,
};
use crate::hsm_protocol::{
    Answer, Cost, Failed, FromSession, Health, Job, KeyNews, Line, LineLevel, News, Order, Outcome,
    Task, WireSelector,
};
use crate::iv::Iv;
use crate::secret::SecretBytes;
use crate::test_random::SplitMix64;

/// Generates frames. A seed determines them.
pub(super) struct Random(SplitMix64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.next()
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// All positions in a short frame; the first hundred and some others in a long one.
    pub(super) fn positions(&mut self, length: usize) -> impl Iterator<Item = usize> + use<> {
        let others: Vec<_> = (0..50)
            .map(|_| self.below(length as u64) as usize)
            .collect();
        (0..length.min(100)).chain(others)
    }

    fn is(&mut self) -> bool {
        self.below(2) == 1
    }

    fn bytes(&mut self, max: u64) -> Vec<u8> {
        let length = match self.below(4) {
            0 => 0,
            1 => max,
            _ => self.below(max.min(64) + 1),
        };
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn optional(&mut self, max: u64) -> Option<Vec<u8>> {
        self.is().then(|| self.bytes(max))
    }

    fn text(&mut self, max: u64) -> String {
        let alphabet = ['a', 'Z', ' ', '"', '\\', '\n', '\u{0}', 'ü', '😀'];
        let length = self.below(max / 4 + 1);
        (0..length)
            .map(|_| alphabet[self.below(9) as usize])
            .collect()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }

    fn iv(&mut self) -> Iv {
        let length = if self.is() { 12 } else { 16 };
        Iv::new(&self.array::<16>()[..length]).unwrap()
    }

    fn selector(&mut self) -> KeySelector {
        match self.is() {
            true => KeySelector::Label(self.text(1_024)),
            false => KeySelector::Id(self.bytes(1_024)),
        }
    }

    /// A duration of whole microseconds, as in a frame.
    fn micros(&mut self) -> Duration {
        Duration::from_micros((self.next() as u32).into())
    }

    pub(super) fn job(&mut self) -> Job {
        Job {
            id: self.next(),
            budget: self.micros(),
            key: Arc::new(self.selector()),
            task: match self.below(3) {
                0 => Task::Encrypt {
                    plaintext: Arc::new(SecretBytes::new(self.bytes(4_096))),
                    aad: self.bytes(8_192).into(),
                    must_decrypt: self.is(),
                    digest_prefix: self.optional(8_192).map(Into::into),
                },
                1 => Task::Decrypt {
                    iv: self.iv(),
                    ciphertext: self.bytes(4_112).into(),
                    aad: self.bytes(8_192).into(),
                    or_aad: self.optional(8_192).map(Into::into),
                },
                _ => Task::Describe,
            },
        }
    }

    pub(super) fn session_frame(&mut self) -> FromSession {
        if self.below(20) == 0 {
            return FromSession::Ready;
        }
        FromSession::Answer(Answer {
            id: self.next(),
            cost: Cost {
                worked: self.micros(),
                encrypt_calls: self.next() as u8,
                decrypt_calls: self.next() as u8,
                describe_calls: self.next() as u8,
                encryptions: self.next() as u8,
            },
            outcome: self.outcome(),
        })
    }

    fn outcome(&mut self) -> Outcome {
        match self.below(4) {
            0 => Outcome::Encrypted(Encrypted {
                iv: self.iv(),
                ciphertext: self.bytes(4_096),
                tag: self.array(),
                digest: self.is().then(|| self.array()),
            }),
            1 => Outcome::Opened(Opened {
                plaintext: SecretBytes::new(self.bytes(4_096)),
                by_or_aad: self.is(),
            }),
            2 => Outcome::Described(KeyAttributes {
                kind: match self.is() {
                    true => KeyKind::Aes(self.next() as u32),
                    false => KeyKind::Other(self.text(1_024)),
                },
                usage: self.usage(),
            }),
            _ => Outcome::Failed(Failed {
                fault: self.fault(),
                detail: self.text(1_024),
                is_fatal: self.is(),
                rejected_with: self.is().then(|| self.text(1_024)),
                lasts: self.micros(),
            }),
        }
    }

    fn fault(&mut self) -> KeyManagerFault {
        KeyManagerFault::ALL[self.below(KeyManagerFault::ALL.len() as u64) as usize]
    }

    fn usage(&mut self) -> KeyUsageFlags {
        KeyUsageFlags {
            encrypt: self.is(),
            decrypt: self.is(),
            sign: self.is(),
            verify: self.is(),
            wrap: self.is(),
            unwrap: self.is(),
            derive: self.is(),
        }
    }

    fn wire_selector(&mut self) -> WireSelector {
        WireSelector::from(&self.selector())
    }

    pub(super) fn order(&mut self) -> Order {
        match self.below(4) {
            0 => Order::HeldKeys,
            _ => Order::Expect {
                is_first: self.is(),
                is_last: self.is(),
                keys: (0..self.below(8))
                    .map(|_| (self.wire_selector(), self.is()))
                    .collect(),
            },
        }
    }

    pub(super) fn news(&mut self) -> News {
        match self.below(8) {
            0 => News::Opened {
                vendor: self.text(100),
                model: self.text(100),
                profile: self.text(100),
            },
            1 => News::NotOpened {
                reason: self.text(1_000),
                is_final: self.is(),
                is_limit: self.is(),
            },
            2 => News::HoldsKeys(self.is()),
            3 => News::Checked {
                health: [Health::Healthy, Health::Impaired, Health::Failed][self.below(3) as usize],
                reason: self.text(1_000),
                operation_micros: self.next(),
            },
            4 => News::Fatal(self.text(1_000)),
            5 => News::Distrusted(self.text(1_000)),
            6 => News::Keys((0..self.below(8)).map(|_| self.key_news()).collect()),
            _ => News::Line(self.line()),
        }
    }

    fn key_news(&mut self) -> KeyNews {
        KeyNews {
            key: self.wire_selector(),
            present: self.is().then(|| (self.is(), self.is(), self.is())),
            rejection: self.is().then(|| (self.below(20) as usize, self.text(200))),
        }
    }

    fn line(&mut self) -> Line {
        let levels = [
            LineLevel::Error,
            LineLevel::Warn,
            LineLevel::Info,
            LineLevel::Debug,
        ];
        let fields = (0..self.below(6)).map(|number| (format!("f{number}"), self.text(500).into()));
        let fields = Map::from_iter(fields.collect::<Vec<_>>());
        Line {
            level: levels[self.below(4) as usize],
            message: self.text(500),
            fields,
            lost: self.next(),
        }
    }
}

/// All fields of a job as text, including the secrets that `Debug` hides.
pub(super) fn shown(job: &Job) -> String {
    let Job {
        id,
        budget,
        key,
        task,
    } = job;
    let task = match task {
        Task::Encrypt {
            plaintext,
            aad,
            must_decrypt,
            digest_prefix,
        } => format!(
            "{:?} {aad:?} {must_decrypt} {digest_prefix:?}",
            plaintext.expose()
        ),
        Task::Decrypt {
            iv,
            ciphertext,
            aad,
            or_aad,
        } => format!("{iv:?} {ciphertext:?} {aad:?} {or_aad:?}"),
        Task::Describe => "describe".to_owned(),
    };
    format!("{id} {budget:?} {key:?} {task}")
}

/// All fields of a frame of a session as text.
pub(super) fn shown_answer(sent: &FromSession) -> String {
    let FromSession::Answer(Answer { id, cost, outcome }) = sent else {
        return "ready".to_owned();
    };
    let outcome = match outcome {
        Outcome::Encrypted(sealed) => {
            let Encrypted {
                iv,
                ciphertext,
                tag,
                digest,
            } = sealed;
            format!("{iv:?} {ciphertext:?} {tag:?} {digest:?}")
        }
        Outcome::Opened(opened) => {
            format!("{:?} {}", opened.plaintext.expose(), opened.by_or_aad)
        }
        Outcome::Described(attributes) => format!("{attributes:?}"),
        Outcome::Failed(failed) => format!("{failed:?}"),
    };
    format!("{id} {cost:?} {outcome}")
}
