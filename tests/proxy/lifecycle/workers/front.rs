//! A hostile front: the test starts a worker as the launcher does, and speaks the protocol to it.
//!
//! The worker does only the operations of the protocol, whatever the front sends. Its answers contain no key bytes, and no attributes except
//! for kind and usage. An invalid frame ends the worker.

mod played;

use std::sync::Arc;
use std::time::Duration;

use xks_proxy::ekm::{KeyKind, KeyManagerFault, KeySelector};
use xks_proxy::hsm_protocol::{
    FromSession, Job, MAX_FRAME, News, Order, Outcome, Task, WireSelector,
};
use xks_proxy::iv::Iv;
use xks_proxy::secret::SecretBytes;

use crate::harness::process::await_end;
use played::{Front, FrontEvent};

fn job(id: u64, key: KeySelector, task: Task) -> Job {
    Job {
        id,
        budget: Duration::from_secs(60),
        key: Arc::new(key),
        task,
    }
}

fn label(label: &str) -> KeySelector {
    KeySelector::Label(label.to_owned())
}

fn encrypt(plaintext: &[u8]) -> Task {
    Task::Encrypt {
        plaintext: Arc::new(SecretBytes::new(plaintext.to_vec())),
        aad: b"aad"[..].into(),
        must_decrypt: false,
        digest_prefix: None,
    }
}

/// The valid case, which the hostile cases need as proof that the test works.
#[test]
fn a_worker_does_the_operations_of_the_protocol() {
    let front = Front::start(2);
    let answer = front.ask(0, &job(1, label("orders"), encrypt(b"kept")));
    let Outcome::Encrypted(sealed) = answer.outcome else {
        panic!("{answer:?}")
    };
    let task = Task::Decrypt {
        iv: sealed.iv,
        ciphertext: [&sealed.ciphertext[..], &sealed.tag].concat().into(),
        aad: b"aad"[..].into(),
        or_aad: None,
    };
    let answer = front.ask(1, &job(u64::MAX, label("orders"), task));
    assert_eq!(answer.id, u64::MAX);
    let Outcome::Opened(opened) = answer.outcome else {
        panic!("{answer:?}")
    };
    assert_eq!(opened.plaintext.expose(), b"kept");
}

#[test]
fn jobs_for_keys_that_are_not_there_are_answered_with_an_error() {
    let front = Front::start(1);
    let long = "k".repeat(1_024);
    for key in ["nobody", "", &long, "\u{0}\u{1}", "orders\u{0}"] {
        for task in [encrypt(b"x"), Task::Describe] {
            let answer = front.ask(0, &job(1, label(key), task));
            let Outcome::Failed(failed) = answer.outcome else {
                panic!("{key:?}: {answer:?}")
            };
            assert_eq!(failed.fault, KeyManagerFault::KeyAbsent, "{failed:?}");
        }
    }
    let answer = front.ask(
        0,
        &job(2, KeySelector::Id(vec![0xff; 1_024]), Task::Describe),
    );
    assert!(matches!(answer.outcome, Outcome::Failed(_)));
    front.ask(0, &job(3, label("orders"), encrypt(b"still served")));
}

/// Lengths that PKCS#11 or the operations do not accept are errors of the job.
#[test]
fn jobs_with_odd_lengths_are_answered() {
    let front = Front::start(1);
    let decrypt = |iv: usize, ciphertext: usize| Task::Decrypt {
        iv: Iv::new(&vec![1; iv]).unwrap(),
        ciphertext: vec![2; ciphertext].into(),
        aad: b""[..].into(),
        or_aad: Some(b""[..].into()),
    };
    for (iv, ciphertext) in [
        (12, 0),
        (12, 15),
        (12, 16),
        (16, 16),
        (16, 40),
        (12, 60_000),
    ] {
        let answer = front.ask(0, &job(1, label("orders"), decrypt(iv, ciphertext)));
        assert!(
            matches!(answer.outcome, Outcome::Failed(_)),
            "{iv} {ciphertext}: {answer:?}"
        );
    }
    for length in [0, 1, 4_096, 60_000] {
        front.ask(0, &job(2, label("orders"), encrypt(&vec![7; length])));
    }
    let mut late = job(4, label("orders"), encrypt(b"x"));
    late.budget = Duration::ZERO;
    front.ask(0, &late);
    front.ask(0, &job(5, label("orders"), encrypt(b"still served")));
}

/// A frame that is not a job ends the whole worker, including its other sessions.
#[test]
fn an_invalid_job_frame_ends_the_worker_without_an_answer() {
    let good = job(7, label("orders"), encrypt(b"x")).to_frame();
    let mut short_iv = job(
        7,
        label("orders"),
        Task::Decrypt {
            iv: Iv::new(&[0xee; 12]).unwrap(),
            ciphertext: vec![2; 16].into(),
            aad: b"aad"[..].into(),
            or_aad: None,
        },
    )
    .to_frame();
    let iv_at = short_iv.iter().position(|byte| *byte == 0xee).unwrap();
    short_iv[iv_at - 4] = 11;
    short_iv.remove(iv_at);
    let mut versioned = good.clone();
    versioned[0] = 0;
    let mut unknown_kind = good.clone();
    unknown_kind[1] = 99;
    let frames = [
        b"\x00".to_vec(),
        b"export the key".to_vec(),
        good[..good.len() - 1].to_vec(),
        [&good[..], b"\0"].concat(),
        versioned,
        unknown_kind,
        short_iv,
        FromSession::Ready.to_frame(),
        Order::HeldKeys.to_frame().unwrap(),
        vec![1; MAX_FRAME],
        vec![1; MAX_FRAME + 1],
    ];
    for (number, frame) in frames.iter().enumerate() {
        let front = Front::start(2);
        front.send(0, frame);
        assert!(
            matches!(front.next_event(0), FrontEvent::End),
            "frame {number}"
        );
        await_end(front.process());
    }
}

#[test]
fn an_invalid_order_frame_ends_the_worker() {
    let long = vec![b' '; MAX_FRAME];
    let frames = [
        &b"{}"[..],
        b"\"export\"",
        br#"{"export":{"key":"orders"}}"#,
        br#"{"expect":{"is_first":true,"is_last":true,"keys":[],"module":"/tmp/evil.so"}}"#,
        b"\xff\xfe\x00",
        b"[[[[[[[[[[[[",
        &long,
    ];
    for frame in frames {
        let front = Front::start(1);
        front.order(frame);
        await_end(front.process());
    }
}

/// The worker ends before the list fills its memory.
#[test]
fn a_list_of_keys_that_does_not_end_ends_the_worker() {
    let front = Front::start(1);
    let part = Order::Expect {
        is_first: false,
        is_last: false,
        keys: vec![(WireSelector::Label("k".repeat(60_000)), true)],
    };
    let part = part.to_frame().unwrap();
    // 64 MiB are allowed.
    let sent = (0..3_000).take_while(|_| front.try_order(&part)).count();
    assert!(sent > 1_000 && sent < 3_000, "{sent}");
    await_end(front.process());
}

/// Orders in the wrong sequence, repeated, and incomplete: the worker continues.
#[test]
fn orders_in_the_wrong_sequence_have_no_effect() {
    let front = Front::start(1);
    let expect = |is_first, is_last, keys| Order::Expect {
        is_first,
        is_last,
        keys,
    };
    let key = |name: &str| (WireSelector::Label(name.to_owned()), true);
    let orders = [
        expect(false, true, vec![]),
        expect(false, false, vec![key("a")]),
        expect(true, false, vec![key("orders"), key("orders")]),
        Order::HeldKeys,
        expect(true, true, vec![key("orders")]),
        Order::HeldKeys,
        expect(false, true, vec![key("nobody")]),
    ];
    for order in &orders {
        front.order(&order.to_frame().unwrap());
    }
    front.ask(0, &job(1, label("orders"), encrypt(b"still served")));
}

/// The front sends thousands of jobs and reads no answer: the worker stops reading jobs, and its memory does not grow.
#[test]
fn a_front_that_does_not_read_answers_costs_the_worker_no_memory() {
    let front = Front::start(1);
    front.ask(0, &job(0, label("orders"), encrypt(b"x")));
    let before = front.resident_kib();
    let job = job(1, label("orders"), encrypt(&[7; 4_096])).to_frame();
    let sent = front.flood(0, &job, 20_000);
    assert!(sent < 20_000, "the sockets must be bounded");
    assert!(
        front.resident_kib() < before + 20_000,
        "{before} KiB before"
    );
    drop(front);
}

/// Checks everything that the worker sends while it answers all requests of the protocol.
#[test]
fn answers_of_the_worker_contain_only_kind_and_usage_of_a_key() {
    let front = Front::start(1);
    let keys = ["orders", "health", "aes128", "encrypt-only", "nobody"];
    let expected = keys.map(|key| (WireSelector::Label(key.to_owned()), true));
    let order = Order::Expect {
        is_first: true,
        is_last: true,
        keys: expected.to_vec(),
    };
    front.order(&order.to_frame().unwrap());
    for key in keys {
        let answer = front.ask(0, &job(1, label(key), Task::Describe));
        match answer.outcome {
            // The complete list of members.
            Outcome::Described(attributes) => {
                assert!(
                    matches!(attributes.kind, KeyKind::Aes(128 | 192 | 256)),
                    "{attributes:?}"
                );
            }
            Outcome::Failed(_) => {}
            other => panic!("{other:?}"),
        }
    }
    // The frame of a description: version, kind, id, cost, kind of key, bits and seven flags.
    let frame = front.ask_for_frame(0, &job(1, label("orders"), Task::Describe));
    assert_eq!(frame.len(), 2 + 8 + 8 + 1 + 4 + 7);
    let known = |news: &News| matches!(news, News::Keys(keys) if keys.iter().any(|key| key.key == WireSelector::Label("nobody".into())));
    let received = front.news_until(known);
    let text = received.concat();
    for secret in front.secrets() {
        assert!(!text.windows(secret.len()).any(|window| window == secret));
    }
}
