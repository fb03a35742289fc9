//! Properties of the frames between front and worker, with generated frames.

mod batches;
mod generated;

use std::sync::Arc;
use std::time::Duration;

use super::wire::VERSION;
use super::*;
use crate::ekm::KeySelector;
use crate::iv::Iv;
use crate::secret::SecretBytes;
use generated::Random;

const ROUNDS: u64 = 2_000;

/// A kind of binary frames: a function that generates a frame, and one that decodes a frame and encodes it again.
type Form = (fn(&mut Random) -> Vec<u8>, fn(&[u8]) -> Option<Vec<u8>>);

const FORMS: [Form; 2] = [
    (
        |random| random.job().to_frame(),
        |frame| Some(Job::from_frame(frame).ok()?.to_frame()),
    ),
    (
        |random| random.session_frame().to_frame(),
        |frame| Some(FromSession::from_frame(frame).ok()?.to_frame()),
    ),
];

/// Fails if a parser rejects a valid frame, or an encoder forgets a field.
#[test]
fn decoded_frames_equal_the_originals() {
    let mut random = Random::new(1);
    for _ in 0..ROUNDS {
        let job = random.job();
        let read = Job::from_frame(&job.to_frame()).unwrap();
        assert_eq!(generated::shown(&read), generated::shown(&job));
        let sent = random.session_frame();
        let read = FromSession::from_frame(&sent.to_frame()).unwrap();
        assert_eq!(
            generated::shown_answer(&read),
            generated::shown_answer(&sent)
        );
    }
}

/// A frame has one encoding: each accepted frame is encoded to the same bytes, also after a byte was changed.
#[test]
fn a_frame_has_one_encoding_and_no_change_makes_a_parser_panic() {
    let mut random = Random::new(2);
    for (write, rewrite) in FORMS {
        for _ in 0..200 {
            let frame = write(&mut random);
            assert_eq!(rewrite(&frame).as_ref(), Some(&frame));
            for position in random.positions(frame.len()) {
                let mut changed = frame.clone();
                changed[position] = changed[position].wrapping_add(random.below(255) as u8 + 1);
                if let Some(again) = rewrite(&changed) {
                    assert_eq!(again, changed, "byte {position}");
                }
            }
        }
    }
}

#[test]
fn a_truncated_frame_and_extra_bytes_are_errors() {
    let mut random = Random::new(3);
    for (write, rewrite) in FORMS {
        for _ in 0..200 {
            let frame = write(&mut random);
            for length in random.positions(frame.len()) {
                assert_eq!(
                    rewrite(&frame[..length]),
                    None,
                    "{length} of {}",
                    frame.len()
                );
            }
            for more in [&b"\0"[..], b"x", &frame] {
                assert_eq!(rewrite(&[&frame, more].concat()), None);
            }
        }
    }
}

#[test]
fn unknown_versions_and_kinds_are_errors() {
    let mut random = Random::new(4);
    let (job, sent) = (random.job().to_frame(), random.session_frame().to_frame());
    for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
        let with_version = |frame: &[u8]| [&[version], &frame[1..]].concat();
        assert_eq!(
            Job::from_frame(&with_version(&job)).unwrap_err(),
            FrameError::Version
        );
        assert_eq!(
            FromSession::from_frame(&with_version(&sent)).unwrap_err(),
            FrameError::Version
        );
    }
    let kinds = |is_known: &dyn Fn(u8) -> bool| -> Vec<u8> {
        (0..=u8::MAX).filter(|kind| is_known(*kind)).collect()
    };
    let describe = describe_frame();
    let with_kind = |kind| [&[VERSION, kind], &describe[2..]].concat();
    assert_eq!(
        kinds(&|kind| Job::from_frame(&with_kind(kind)).is_ok()),
        [describe[1]]
    );
    let ready = FromSession::Ready.to_frame();
    assert_eq!(
        kinds(&|kind| FromSession::from_frame(&[VERSION, kind]).is_ok()),
        ready[1..]
    );
    // Each direction has different kinds.
    assert!(Job::from_frame(&sent).is_err() && FromSession::from_frame(&job).is_err());
    for frame in [&[][..], &[VERSION]] {
        assert_eq!(Job::from_frame(frame).unwrap_err(), FrameError::Short);
        assert_eq!(
            FromSession::from_frame(frame).unwrap_err(),
            FrameError::Short
        );
    }
}

fn describe_frame() -> Vec<u8> {
    job_of(Task::Describe).to_frame()
}

fn job_of(task: Task) -> Job {
    Job {
        id: 7,
        budget: Duration::from_millis(250),
        key: Arc::new(KeySelector::Label("orders".into())),
        task,
    }
}

/// A length is compared with the limit and with the frame before memory is allocated.
#[test]
fn lengths_beyond_their_limits_are_errors() {
    // The length of the label follows version, kind, id, budget and selector.
    let at = 2 + 8 + 4 + 1;
    for length in [1_025, 0xffff, 0x7fff_ffff, u32::MAX] {
        let mut frame = describe_frame();
        frame[at..at + 4].copy_from_slice(&length.to_le_bytes());
        frame.resize(frame.len() + 2_000, b'a');
        assert_eq!(
            Job::from_frame(&frame).unwrap_err(),
            FrameError::Illegal("label")
        );
    }
    let encrypt = |plaintext: usize, aad: usize| {
        job_of(Task::Encrypt {
            plaintext: Arc::new(SecretBytes::new(vec![1; plaintext])),
            aad: vec![2; aad].into(),
            must_decrypt: true,
            digest_prefix: None,
        })
        .to_frame()
    };
    assert!(Job::from_frame(&encrypt(wire::MAX_BYTES, wire::MAX_BYTES)).is_ok());
    let error = |frame: &[u8]| Job::from_frame(frame).unwrap_err();
    assert_eq!(
        error(&encrypt(wire::MAX_BYTES + 1, 1)),
        FrameError::Illegal("plaintext")
    );
    assert_eq!(
        error(&encrypt(1, wire::MAX_BYTES + 1)),
        FrameError::Illegal("AAD")
    );
}

/// The longest plaintext and AAD that the XKS API allows, with the prefix of the CDIV, and the longest label.
#[test]
fn the_longest_legal_jobs_fit_into_a_frame() {
    // In the XKS API, a plaintext has at most 4,096 bytes and an AAD at most 8,192. The framing of the AAD allows 64 KiB.
    let (plaintext, aad) = (4_096, 66 * 1_024);
    let key = Arc::new(KeySelector::Label("l".repeat(1_024)));
    let encrypt = Task::Encrypt {
        plaintext: Arc::new(SecretBytes::new(vec![1; plaintext])),
        aad: vec![2; aad].into(),
        must_decrypt: true,
        digest_prefix: Some(vec![3; aad].into()),
    };
    let decrypt = Task::Decrypt {
        iv: Iv::new(&[1; 16]).unwrap(),
        ciphertext: vec![2; plaintext + 16].into(),
        aad: vec![2; aad].into(),
        or_aad: Some(vec![3; aad].into()),
    };
    for task in [encrypt, decrypt] {
        let frame = Job {
            key: Arc::clone(&key),
            ..job_of(task)
        }
        .to_frame();
        assert!(frame.len() < MAX_FRAME, "{} bytes", frame.len());
        assert!(Job::from_frame(&frame).is_ok());
    }
}

/// Texts of a failure are cut to their limit, at a character boundary.
#[test]
fn texts_are_cut_to_their_limit() {
    for text in [
        "x".repeat(5_000),
        "ü".repeat(5_000),
        format!("x{}", "😀".repeat(5_000)),
    ] {
        let failed = Failed {
            fault: crate::ekm::KeyManagerFault::KeyFailed,
            detail: text.clone(),
            is_fatal: true,
            rejected_with: Some(text),
            lasts: Duration::MAX,
        };
        let answer = Answer {
            id: 1,
            cost: Cost::default(),
            outcome: Outcome::Failed(failed),
        };
        let frame = FromSession::Answer(answer).to_frame();
        assert!(frame.len() < 2_200);
        assert!(FromSession::from_frame(&frame).is_ok());
    }
}

#[test]
fn debug_of_a_frame_shows_no_plaintext_and_no_iv() {
    let secret = [0xa7_u8; 24];
    let encrypt = job_of(Task::Encrypt {
        plaintext: Arc::new(SecretBytes::new(secret.to_vec())),
        aad: secret.to_vec().into(),
        must_decrypt: false,
        digest_prefix: None,
    });
    let decrypt = job_of(Task::Decrypt {
        iv: Iv::new(&secret[..16]).unwrap(),
        ciphertext: secret.to_vec().into(),
        aad: secret.to_vec().into(),
        or_aad: None,
    });
    let opened = Outcome::Opened(crate::ekm::Opened {
        plaintext: SecretBytes::new(secret.to_vec()),
        by_or_aad: false,
    });
    let encrypted = Outcome::Encrypted(crate::ekm::Encrypted {
        iv: Iv::new(&secret[..16]).unwrap(),
        ciphertext: Vec::new(),
        tag: [0; 16],
        digest: None,
    });
    for shown in [
        format!("{encrypt:?}"),
        format!("{decrypt:?}"),
        format!("{opened:?}"),
        format!("{encrypted:?}"),
    ] {
        assert!(!shown.contains("167") && !shown.contains("a7"), "{shown}");
    }
}

#[test]
fn decoded_control_frames_equal_the_originals() {
    let mut random = Random::new(5);
    for _ in 0..ROUNDS {
        let order = random.order();
        let frame = order.to_frame().unwrap();
        assert_eq!(
            Order::from_frame(&frame).unwrap().to_frame().unwrap(),
            frame
        );
        let news = random.news();
        let frame = news.to_frame().unwrap();
        assert_eq!(News::from_frame(&frame).unwrap().to_frame().unwrap(), frame);
        for position in random.positions(frame.len()).take(50) {
            assert!(News::from_frame(&frame[..position]).is_err());
            let mut changed = frame.clone();
            changed[position] ^= 1 << random.below(8);
            drop(News::from_frame(&changed));
            drop(Order::from_frame(&changed));
        }
        assert!(News::from_frame(&[&frame[..], b"{}"].concat()).is_err());
    }
}

#[test]
fn control_frames_of_the_other_direction_and_unknown_members_are_errors() {
    let orders = [
        "\"held_keys\"",
        r#"{"expect":{"is_first":true,"is_last":true,"keys":[]}}"#,
    ];
    for order in orders {
        assert!(Order::from_frame(order.as_bytes()).is_ok());
        assert!(News::from_frame(order.as_bytes()).is_err());
    }
    for wrong in [
        "",
        "null",
        "\"export\"",
        r#"{"export":{}}"#,
        r#"{"held_keys":1}"#,
        r#"{"expect":{"is_first":true,"is_last":true,"keys":[],"value":1}}"#,
        r#"{"expect":{"is_first":true,"is_last":true,"keys":[[{"handle":1},true]]}}"#,
        r#"{"expect":{"is_first":1,"is_last":true,"keys":[]}}"#,
        r#"{"expect":{"is_first":true,"is_first":true,"is_last":true,"keys":[]}}"#,
    ] {
        assert!(Order::from_frame(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let long = [b"\"held_keys\"".to_vec(), vec![b' '; MAX_CONTROL_FRAME]].concat();
    assert!(matches!(Order::from_frame(&long), Err(ControlError::Long)));
    assert!(matches!(News::from_frame(&long), Err(ControlError::Long)));
}

/// A frame that consists of brackets must not exhaust the stack.
#[test]
fn deep_nesting_is_an_error() {
    let nested = "[".repeat(60_000);
    let line =
        format!(r#"{{"line":{{"level":"info","message":"","lost":0,"fields":{{"a":{nested}"#);
    assert!(News::from_frame(line.as_bytes()).is_err());
    assert!(Order::from_frame(nested.as_bytes()).is_err());
}

/// The longest labels, whose characters have six bytes each in JSON.
#[test]
fn frames_of_the_longest_keys_fit() {
    let label = "\u{1}".repeat(255);
    let keys: Vec<_> = (0..1_000)
        .map(|number| KeySelector::Label(format!("{label}{number}")))
        .collect();
    let orders = Order::expect(keys.iter().map(|key| (key, true)));
    for order in &orders {
        let frame = order.to_frame().expect("a frame that fits");
        assert!(Order::from_frame(&frame).is_ok());
    }
    let reason = "\u{1}".repeat(200);
    let fault = crate::ekm::KeyManagerFault::KeyFailed;
    let state = crate::ekm::KeyState::Missing;
    let known: Vec<_> = keys
        .iter()
        .map(|key| KeyNews::new(key, state, Some((fault, &reason))))
        .collect();
    for news in News::of_keys(&known) {
        news.to_frame().expect("a frame that fits");
    }
}
