//! The sample of successful requests that have an access log line.
//!
//! # Invariants
//! - Sampling depends only on kmsRequestId. So all proxies of a fleet with the same share sample the same requests, and a larger share includes all
//!   requests of a smaller one.

/// The share of successful requests that have an access log line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample(f64);

impl Sample {
    /// All requests.
    pub const ALL: Self = Self(1.0);

    /// Creates a share from 0 (no requests) to 1 (all); `None` for any other number.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// Returns the share, from 0 to 1.
    pub fn share(self) -> f64 {
        self.0
    }

    /// Returns whether the request with this id has a line. A request without an id has one, unless the share is 0.
    pub(in crate::server) fn includes(self, kms_request_id: Option<&str>) -> bool {
        let position = kms_request_id.map_or(0.0, position);
        self == Self::ALL || (self.0 > 0.0 && position < self.0)
    }
}

/// Returns a hash of the id, evenly distributed from 0 to 1 (excluded): FNV-1a, then the last step of MurmurHash3, because the high bits of FNV differ
/// too little. The hash is not keyed: KMS chooses the ids, and a predictable sample does no harm.
fn position(id: &str) -> f64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^= hash >> 33;
    // 32 bits are precise enough, and a float represents them exactly.
    let high = u32::try_from(hash >> 32).unwrap_or(0);
    f64::from(high) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(share: f64) -> Vec<String> {
        let sample = Sample::new(share).unwrap();
        let ids = (0..100_000_u64).map(|n| format!("4112f4d6-db54-4af4-ae30-c55a22{n:06}"));
        ids.filter(|id| sample.includes(Some(id))).collect()
    }

    #[test]
    fn the_sample_has_its_share_of_evenly_distributed_ids() {
        for share in [0.001, 0.01, 0.1, 0.5] {
            let found = sampled(share).len() as f64;
            let expected = share * 100_000.0;
            // Five standard deviations.
            let bound = 5.0 * (expected * (1.0 - share)).sqrt();
            assert!((found - expected).abs() < bound, "{share}: {found}");
        }
        assert_eq!((sampled(0.0).len(), sampled(1.0).len()), (0, 100_000));
    }

    #[test]
    fn a_larger_share_includes_the_sample_of_a_smaller_one() {
        let more = sampled(0.02);
        assert!(sampled(0.01).iter().all(|id| more.contains(id)));
    }

    #[test]
    fn a_share_is_from_0_to_1() {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Sample::new(wrong), None);
        }
        assert!(Sample::new(0.5).unwrap().includes(None));
        assert!(!Sample::new(0.0).unwrap().includes(None));
    }

    #[test]
    fn the_sample_is_the_same_in_every_version() {
        // Proxies of one fleet may have different versions.
        let id = "4112f4d6-db54-4af4-ae30-c55a22a8dfae";
        assert_eq!((position(id) * 1_000_000.0) as u64, 479_172);
    }
}
