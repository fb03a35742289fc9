//! Frames of operator commands: encoding, limits, and rejection by other processes.

use super::super::{FromSession, Health, Job, KeyProtection, News, Order};
use super::*;
use crate::ekm::{KeyAttributes, KeyKind, KeyUsageFlags};

fn key(number: u64, label: String) -> TokenKey {
    TokenKey {
        number,
        label: Some(label),
        id: vec![1, 255],
        attributes: KeyAttributes {
            kind: KeyKind::Aes(256),
            usage: KeyUsageFlags {
                encrypt: true,
                ..KeyUsageFlags::default()
            },
        },
        protection: KeyProtection {
            sensitive: Some(true),
            ..KeyProtection::default()
        },
    }
}

fn ciphertext() -> TestCiphertext {
    TestCiphertext {
        iv: vec![7; 12],
        sealed: vec![0, 255],
    }
}

fn requests() -> Vec<Request> {
    let (aad, ciphertext) = (vec![9], ciphertext());
    vec![
        Request::OpenToken,
        Request::ListKeys,
        Request::MayHave(WireSelector::Id(vec![1])),
        Request::CreateKey(NewKey {
            label: "orders".into(),
            id: None,
        }),
        Request::TryKey(1),
        Request::EncryptTest(2),
        Request::DecryptsTest(3, ciphertext.clone()),
        Request::Authenticates {
            key: 4,
            aad,
            ciphertext,
        },
    ]
}

fn answers() -> Vec<Answer> {
    let mut answers = vec![
        Answer::TokenOpened {
            description: "maker".into(),
            gcm: GcmFinding::Unproved("plan".into(), "why".into()),
        },
        Answer::KeyCreated(key(1, "orders".into())),
        Answer::TestEncrypted(ciphertext()),
        Answer::Is(true),
        Answer::Done,
        Answer::failed("why"),
    ];
    answers.extend(Answer::of_keys(vec![key(2, "a".into())], Some("1".into())));
    answers
}

#[test]
fn decoded_frames_equal_the_originals() {
    for request in requests() {
        let frame = request.to_frame().unwrap();
        assert_eq!(Request::from_frame(&frame).unwrap(), request);
    }
    for answer in answers() {
        let frame = answer.to_frame().unwrap();
        assert_eq!(Answer::from_frame(&frame).unwrap(), answer);
    }
}

#[test]
fn no_frame_of_a_command_is_a_frame_of_the_service_and_none_the_other_way_round() {
    for frame in requests().iter().map(|request| request.to_frame().unwrap()) {
        assert!(Order::from_frame(&frame).is_err());
        assert!(Job::from_frame(&frame).is_err());
    }
    for frame in answers().iter().map(|answer| answer.to_frame().unwrap()) {
        assert!(News::from_frame(&frame).is_err());
        assert!(FromSession::from_frame(&frame).is_err());
    }
    let mut orders = Order::expect([].into_iter());
    orders.push(Order::HeldKeys);
    for order in orders {
        assert!(Request::from_frame(&order.to_frame().unwrap()).is_err());
    }
    let checked = News::Checked {
        health: Health::Healthy,
        reason: String::new(),
        operation_micros: 1,
    };
    for news in [News::Keys(Vec::new()), News::HoldsKeys(true), checked] {
        assert!(Answer::from_frame(&news.to_frame().unwrap()).is_err());
    }
}

#[test]
fn answers_with_long_texts_fit_into_frames() {
    let text = "\u{1}".repeat(1 << 20);
    let short = GcmFinding::Unproved(String::new(), text.clone());
    for answer in [Answer::failed(&text), Answer::opened("maker", &short)] {
        assert!(answer.to_frame().is_ok());
    }
}

#[test]
fn a_frame_with_unknown_members_or_extra_bytes_is_rejected() {
    for wrong in [
        r#"{"list_keys":null,"try_key":1}"#,
        r#"{"try_key":1,"more":2}"#,
        r#"{"decrypts_test":[3,{"iv":[],"sealed":[],"more":1}]}"#,
        r#"{"create_key":{"label":"a","id":null,"extractable":true}}"#,
        r#""list_keys" "list_keys""#,
        r#"{"export_key":1}"#,
    ] {
        assert!(Request::from_frame(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let long = format!("{}\"list_keys\"", " ".repeat(MAX_CONTROL_FRAME));
    assert!(Request::from_frame(long.as_bytes()).is_err());
}

#[test]
fn a_list_of_any_length_fits_into_frames() {
    let keys: Vec<_> = (0..2_000).map(|at| key(at, "\u{1}".repeat(100))).collect();
    let answers = Answer::of_keys(keys.clone(), Some("\u{1}".repeat(1 << 20)));
    assert!(answers.len() > 10);
    let (mut listed, mut ends) = (Vec::new(), Vec::new());
    for answer in answers {
        let frame = answer.to_frame().unwrap();
        let Ok(Answer::TokenKeys { keys, is_last, .. }) = Answer::from_frame(&frame) else {
            panic!("not a list");
        };
        listed.extend(keys);
        ends.push(is_last);
    }
    assert_eq!(listed, keys);
    assert_eq!(ends.iter().position(|end| *end), Some(ends.len() - 1));
    let none = Answer::of_keys(Vec::new(), None);
    assert!(matches!(
        &none[..],
        [Answer::TokenKeys { is_last: true, .. }]
    ));
}

#[test]
fn a_key_with_a_name_of_any_length_is_not_lost_silently() {
    let keys = vec![
        key(1, "x".repeat(MAX_CONTROL_FRAME)),
        key(2, "short".into()),
    ];
    let answers = Answer::of_keys(keys, None);
    let [
        Answer::TokenKeys {
            keys, unreadable, ..
        },
    ] = &answers[..]
    else {
        panic!("not one list");
    };
    assert_eq!(keys.len(), 1);
    assert!(unreadable.as_ref().unwrap().ends_with("too long: 1"));
}
