//! The `xks-proxy` binary. All code is in the library.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Wipes each heap block when it is freed. Plaintext passes through buffers of hyper, rustls and serde_json, which do not wipe them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    xks_proxy::cli::run()
}
