//! The fuzz targets for untrusted input, in one program: `XKS_FUZZ_TARGET` names the target. `tests/fuzz/run` builds and starts it.
//!
//! A target asserts properties, not only the absence of panics. A check must also stay within a CPU time that depends on the length of the
//! input; some inputs are extended to 64 KiB for this purpose.

#![no_main]

mod received;
mod setup;
mod targets;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rustix::time::{ClockId, clock_gettime};

/// The environment variable that names the target.
const VARIABLE: &str = "XKS_FUZZ_TARGET";

/// The longest input in bytes: the limit of a request head, and of a request body by default.
const LONGEST: usize = 65_536;

/// One of this many inputs is checked again with a part of it repeated up to [`LONGEST`].
const STRETCHED: u64 = 256;

/// The CPU time of a check, fixed and per byte of the input: at least 20 times the time of the slowest target. A quadratic algorithm needs
/// seconds for an input of [`LONGEST`].
const PER_INPUT: Duration = Duration::from_millis(100);
const PER_BYTE: Duration = Duration::from_micros(20);

static TARGET: LazyLock<targets::Check> = LazyLock::new(|| {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    let known = targets::ALL.iter().find(|(known, _)| *known == name);
    let (_, check) = known.unwrap_or_else(|| panic!("{VARIABLE}={name} is not a target"));
    *check
});

fuzz_target!(|data: &[u8]| {
    check(data);
    let choice = choice_of(data);
    if choice.is_multiple_of(STRETCHED) && !data.is_empty() {
        check(&stretched(data, choice / STRETCHED));
    }
});

fn check(data: &[u8]) {
    let started = cpu_time();
    (*TARGET)(data);
    let used = cpu_time() - started;
    let allowed = PER_INPUT + PER_BYTE * data.len() as u32;
    assert!(
        used <= allowed,
        "{} bytes took {used:?} of CPU time",
        data.len()
    );
}

/// Returns the CPU time of this thread: other work on the machine does not count.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns a number that depends on the input only. All choices use it, so an input always has the same result.
fn choice_of(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    hasher.finish()
}

/// Returns the input with a part of at most 16 bytes repeated until the length is [`LONGEST`].
fn stretched(data: &[u8], choice: u64) -> Vec<u8> {
    let start = choice as usize % data.len();
    let length = 1 + (choice >> 32) as usize % 16;
    let end = (start + length).min(data.len());
    let repeated = data[start..end].repeat(LONGEST.saturating_sub(data.len()) / (end - start));
    [&data[..start], &repeated, &data[start..]].concat()
}
