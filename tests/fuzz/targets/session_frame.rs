//! A packet of a session: accepted only in the form in which it is written. Its `Debug` hides decrypted data.

use xks_proxy::hsm_protocol::{FromSession, Job, MAX_BATCH, MAX_FRAME, News, Order};

pub fn check(data: &[u8]) {
    let Ok(said) = FromSession::from_packet(data) else {
        return;
    };
    assert!((1..=MAX_BATCH).contains(&said.len()));
    let frames: Vec<_> = said.iter().map(FromSession::to_frame).collect();
    assert_eq!(frames.concat(), data);
    assert_eq!(FromSession::from_frame(data).is_ok(), said.len() == 1);
    assert!(data.len() <= MAX_FRAME);
    assert!(Job::from_frame(data).is_err());
    assert!(Order::from_frame(data).is_err() && News::from_frame(data).is_err());
}
