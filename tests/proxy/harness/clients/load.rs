//! Load that runs in the background of a test until it is stopped.

use std::sync::atomic::{AtomicBool, Ordering};

/// Stops the load when it is dropped, also when the test fails: running threads would delay the failure message.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
