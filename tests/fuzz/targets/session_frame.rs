//! What a session says: accepted only in the form that it is written in. Its `Debug` hides what was decrypted.

use xks_proxy::hsm_protocol::{FromSession, Job, MAX_FRAME, News, Order};

pub fn check(data: &[u8]) {
    let Ok(said) = FromSession::from_frame(data) else {
        return;
    };
    assert_eq!(said.to_frame(), data);
    assert!(data.len() <= MAX_FRAME);
    assert!(Job::from_frame(data).is_err());
    assert!(Order::from_frame(data).is_err() && News::from_frame(data).is_err());
}
