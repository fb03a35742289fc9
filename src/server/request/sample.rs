//! Which successful requests the log tells, when it is not to tell all of them.
//!
//! # Invariants
//! - The choice hangs on the kmsRequestId alone: every proxy of a fleet chooses the same requests at the same share, and a greater share
//!   tells all that a smaller one does.

/// The share of successful requests that have a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample(f64);

impl Sample {
    /// Every one.
    pub const ALL: Self = Self(1.0);

    /// A share from 0 (none) to 1 (all); none for any other number.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share, from 0 to 1.
    pub fn share(self) -> f64 {
        self.0
    }

    /// Whether the request with this id has a line. One without an id has: nothing could choose it anywhere else.
    pub(in crate::server) fn includes(self, kms_request_id: Option<&str>) -> bool {
        let position = kms_request_id.map_or(0.0, position);
        self == Self::ALL || (self.0 > 0.0 && position < self.0)
    }
}

/// Where an id stands among all of them: evenly spread from 0 to 1 (excluded). FNV-1a, and the last step of MurmurHash3 because FNV's high
/// bits differ too little. Not secret: KMS chooses the ids, and a choice that could be foreseen harms nobody.
fn position(id: &str) -> f64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^= hash >> 33;
    // 32 bits are fine enough, and a float holds them exactly.
    let high = u32::try_from(hash >> 32).unwrap_or(0);
    f64::from(high) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(share: f64) -> Vec<String> {
        let sample = Sample::new(share).unwrap();
        let ids = (0..100_000_u64).map(|n| format!("4112f4d6-db54-4af4-ae30-c55a22{n:06}"));
        ids.filter(|id| sample.includes(Some(id))).collect()
    }

    #[test]
    fn the_share_is_kept_and_ids_are_evenly_spread() {
        for share in [0.001, 0.01, 0.1, 0.5] {
            let found = taken(share).len() as f64;
            let expected = share * 100_000.0;
            // Five standard deviations.
            let bound = 5.0 * (expected * (1.0 - share)).sqrt();
            assert!((found - expected).abs() < bound, "{share}: {found}");
        }
        assert_eq!((taken(0.0).len(), taken(1.0).len()), (0, 100_000));
    }

    #[test]
    fn a_greater_share_tells_what_a_smaller_one_does() {
        let more = taken(0.02);
        assert!(taken(0.01).iter().all(|id| more.contains(id)));
    }

    #[test]
    fn a_share_is_from_none_to_all() {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Sample::new(wrong), None);
        }
        assert!(Sample::new(0.5).unwrap().includes(None));
        assert!(!Sample::new(0.0).unwrap().includes(None));
    }

    #[test]
    fn the_choice_is_the_same_in_every_build() {
        // Proxies of one fleet may be of different versions.
        let id = "4112f4d6-db54-4af4-ae30-c55a22a8dfae";
        assert_eq!((position(id) * 1_000_000.0) as u64, 479_172);
    }
}
