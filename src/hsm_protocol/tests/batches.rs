//! Several frames in one packet.

use super::generated::{Random, shown};
use super::*;

/// Packs these frames into packets.
fn packets(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Batch> {
    let mut last = Batch::default();
    let mut packets: Vec<_> = frames
        .into_iter()
        .filter_map(|frame| last.push(frame))
        .collect();
    packets.push(last);
    packets
}

#[test]
fn frames_of_any_length_are_decoded_in_their_order() {
    let mut random = Random::new(7);
    for _ in 0..200 {
        let jobs: Vec<_> = (0..=random.below(20)).map(|_| random.job()).collect();
        let packets = packets(jobs.iter().map(Job::to_frame));
        assert!(
            packets
                .iter()
                .all(|batch| batch.packet().len() <= MAX_FRAME)
        );
        let read: Vec<_> = packets
            .iter()
            .flat_map(|batch| Job::from_packet(batch.packet()).unwrap())
            .collect();
        let all = |jobs: &[Job]| jobs.iter().map(shown).collect::<Vec<_>>();
        assert_eq!(all(&read), all(&jobs));
        assert!(
            packets.len() <= jobs.len().div_ceil(MAX_BATCH) + 1,
            "few packets"
        );
    }
}

#[test]
fn a_frame_that_does_not_fit_starts_the_next_packet() {
    let long = vec![1; MAX_FRAME - 1];
    let packets = packets([vec![0; 1], long.clone(), vec![2; 1], vec![3; 1]]);
    let lengths: Vec<_> = packets.iter().map(|batch| batch.packet().len()).collect();
    // The first packet is full to the byte.
    assert_eq!(lengths, [MAX_FRAME, 2]);
    let [first, ..] = &packets[..] else { panic!() };
    assert_eq!(first.packet()[1..], long);
}

#[test]
fn a_packet_with_an_invalid_frame_is_rejected() {
    let mut random = Random::new(8);
    let frame = random.job().to_frame();
    let sent = FromSession::Ready.to_frame();
    let times = |frame: &[u8], n: usize| frame.repeat(n);
    assert_eq!(
        Job::from_packet(&times(&frame, MAX_BATCH)).unwrap().len(),
        MAX_BATCH
    );
    let too_many = FrameError::Illegal("number of frames");
    assert_eq!(
        Job::from_packet(&times(&frame, MAX_BATCH + 1)).unwrap_err(),
        too_many
    );
    assert_eq!(
        FromSession::from_packet(&times(&sent, MAX_BATCH + 1)).unwrap_err(),
        too_many
    );
    assert_eq!(Job::from_packet(&[]).unwrap_err(), FrameError::Short);
    // A valid frame before an invalid one.
    assert_eq!(
        Job::from_packet(&[&frame[..], &[0, 0]].concat()).unwrap_err(),
        FrameError::Version
    );
    assert!(FromSession::from_packet(&[&sent[..], &frame].concat()).is_err());
    assert_eq!(
        Job::from_frame(&times(&frame, 2)).unwrap_err(),
        FrameError::Long
    );
}
