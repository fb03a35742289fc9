//! Reports of a worker: parsing and writing a frame returns the same frame, and no other direction accepts it.

use xks_proxy::hsm_protocol::{FromSession, Job, MAX_CONTROL_FRAME, News, Order};

pub fn check(data: &[u8]) {
    let Ok(news) = News::from_frame(data) else {
        return;
    };
    assert!(data.len() <= MAX_CONTROL_FRAME);
    assert!(Job::from_frame(data).is_err() && FromSession::from_frame(data).is_err());
    assert!(Order::from_frame(data).is_err());
    if let News::Keys(keys) = &news {
        for key in keys {
            // Frames with any error location must not panic.
            let (_state, _rejection) = (key.state(), key.rejection());
        }
    }
    // Escapes can make a frame longer.
    if let Ok(frame) = news.to_frame() {
        let again = News::from_frame(&frame).expect("news");
        assert_eq!(format!("{again:?}"), format!("{news:?}"));
    }
}
