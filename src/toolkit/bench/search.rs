//! The rates of a ramp: it doubles the rate while the target sustains it, then bisects until the gap is small.

use super::report::Step;

/// The gap between a sustained and an unsustained rate at which the search ends, as a share of the rate.
const NARROW: f64 = 0.08;

/// The maximum number of steps of a ramp.
const MOST_STEPS: usize = 20;

/// The share of requests that must succeed within KMS's 250 ms.
pub const SHARE: f64 = 0.999;

/// Returns the next rate to try; none when the search is complete.
pub fn next_rate(first: f64, steps: &[Step]) -> Option<f64> {
    let held = steps.iter().filter(|step| step.held).map(|step| step.rate);
    let not_held = steps.iter().filter(|step| !step.held).map(|step| step.rate);
    let (best, worst) = (
        held.fold(0.0, f64::max),
        not_held.fold(f64::INFINITY, f64::min),
    );
    if steps.len() >= MOST_STEPS || worst < 2.0 {
        return None;
    }
    if steps.is_empty() {
        return Some(first);
    }
    if worst.is_infinite() {
        return Some(best * 2.0);
    }
    match worst - best <= worst * NARROW {
        true => None,
        false => Some(((worst + best) / 2.0).round()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of steps against a target that sustains up to `limit`, and the best sustained rate.
    fn ramp(first: f64, limit: f64) -> (usize, f64) {
        let mut steps = Vec::new();
        while let Some(rate) = next_rate(first, &steps) {
            let held = rate <= limit;
            steps.push(Step {
                rate,
                within_patience: 1.0,
                p99_us: 1,
                held,
            });
        }
        let held = steps.iter().filter(|step| step.held);
        (steps.len(), held.map(|step| step.rate).fold(0.0, f64::max))
    }

    #[test]
    fn it_ends_near_the_limit() {
        for limit in [120.0, 1_000.0, 5_678.0, 40_000.0] {
            let (steps, best) = ramp(100.0, limit);
            assert!(best <= limit && best > limit * 0.9, "{limit}: {best}");
            assert!(steps <= 16, "{limit}: {steps}");
        }
    }

    #[test]
    fn it_goes_down_when_the_first_rate_is_too_high() {
        let (_, best) = ramp(1_000.0, 90.0);
        assert!((80.0..=90.0).contains(&best), "{best}");
    }

    #[test]
    fn it_ends_if_the_target_sustains_no_rate() {
        let (steps, best) = ramp(100.0, 0.0);
        assert!(steps <= MOST_STEPS && best == 0.0);
    }
}
