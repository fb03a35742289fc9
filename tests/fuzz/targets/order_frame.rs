//! Orders of the front to a worker: parsing and writing a frame returns the same frame, and no other direction accepts it.

use xks_proxy::hsm_protocol::{FromSession, Job, MAX_CONTROL_FRAME, News, Order};

pub fn check(data: &[u8]) {
    let Ok(order) = Order::from_frame(data) else {
        return;
    };
    assert!(data.len() <= MAX_CONTROL_FRAME);
    assert!(Job::from_frame(data).is_err() && FromSession::from_frame(data).is_err());
    assert!(News::from_frame(data).is_err());
    // Escapes can make a frame longer.
    if let Ok(frame) = order.to_frame() {
        let again = Order::from_frame(&frame).expect("an order");
        assert_eq!(format!("{again:?}"), format!("{order:?}"));
    }
}
