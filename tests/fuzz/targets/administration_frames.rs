//! Frames between a command and its worker: parsing and writing a frame returns the same frame, and no other direction accepts it.

use xks_proxy::hsm_protocol::administration::{Answer, Request};
use xks_proxy::hsm_protocol::{FromSession, Job, MAX_CONTROL_FRAME, News, Order};

pub fn check(data: &[u8]) {
    let (request, answer) = (Request::from_frame(data), Answer::from_frame(data));
    assert!(request.is_err() || answer.is_err(), "of both directions");
    if request.is_err() && answer.is_err() {
        return;
    }
    assert!(data.len() <= MAX_CONTROL_FRAME);
    // Neither a worker of the service nor a front accepts these frames.
    assert!(Order::from_frame(data).is_err() && News::from_frame(data).is_err());
    assert!(Job::from_frame(data).is_err() && FromSession::from_frame(data).is_err());
    // Escapes can make a frame longer.
    if let Ok(request) = request
        && let Ok(frame) = request.to_frame()
    {
        assert_eq!(Request::from_frame(&frame).expect("a request"), request);
    }
    if let Ok(answer) = answer
        && let Ok(frame) = answer.to_frame()
    {
        assert_eq!(Answer::from_frame(&frame).expect("an answer"), answer);
    }
}
