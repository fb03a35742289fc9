//! A frame of a job: accepted only in the form that it is written in, and shorter than a packet may be.

use xks_proxy::hsm_protocol::{FromSession, Job, MAX_FRAME, News, Order};

pub fn check(data: &[u8]) {
    let Ok(job) = Job::from_frame(data) else {
        return;
    };
    assert_eq!(job.to_frame(), data);
    assert!(data.len() <= MAX_FRAME);
    // No other direction takes it.
    assert!(FromSession::from_frame(data).is_err());
    assert!(Order::from_frame(data).is_err() && News::from_frame(data).is_err());
}
