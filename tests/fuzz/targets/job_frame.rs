//! A packet of jobs: accepted only in the form in which it is written, and within the length limit of packets.

use xks_proxy::hsm_protocol::{FromSession, Job, MAX_BATCH, MAX_FRAME, News, Order};

pub fn check(data: &[u8]) {
    let Ok(jobs) = Job::from_packet(data) else {
        return;
    };
    assert!((1..=MAX_BATCH).contains(&jobs.len()));
    let frames: Vec<_> = jobs.iter().map(Job::to_frame).collect();
    assert_eq!(frames.concat(), data);
    assert_eq!(Job::from_frame(data).is_ok(), jobs.len() == 1);
    assert!(data.len() <= MAX_FRAME);
    // No other direction accepts it.
    assert!(FromSession::from_frame(data).is_err());
    assert!(Order::from_frame(data).is_err() && News::from_frame(data).is_err());
}
