//! Frames between the launcher and its processes: at most one direction accepts a frame, and only in the form in which it is written.

use xks_proxy::hsm_protocol::launch::{
    Frame, FrontMessage, FrontRequest, WorkerMessage, WorkerRequest,
};

pub fn check(data: &[u8]) {
    let accepted = [
        is_accepted::<FrontRequest>(data),
        is_accepted::<FrontMessage>(data),
        is_accepted::<WorkerRequest>(data),
        is_accepted::<WorkerMessage>(data),
    ];
    let directions = accepted.into_iter().filter(|accepted| *accepted).count();
    assert!(directions <= 1);
}

fn is_accepted<F: Frame>(data: &[u8]) -> bool {
    F::decode(data).is_ok_and(|frame| {
        assert_eq!(frame.encode(), data);
        true
    })
}
