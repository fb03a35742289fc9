//! What the front asks of a worker: what was read is read again as the same, and no other direction takes it.

use xks_proxy::hsm_protocol::{FromSession, Job, MAX_CONTROL_FRAME, News, Order};

pub fn check(data: &[u8]) {
    let Ok(order) = Order::from_frame(data) else {
        return;
    };
    assert!(data.len() <= MAX_CONTROL_FRAME);
    assert!(Job::from_frame(data).is_err() && FromSession::from_frame(data).is_err());
    assert!(News::from_frame(data).is_err());
    // Escapes can make it longer than it was.
    if let Ok(frame) = order.to_frame() {
        let again = Order::from_frame(&frame).expect("an order");
        assert_eq!(format!("{again:?}"), format!("{order:?}"));
    }
}
