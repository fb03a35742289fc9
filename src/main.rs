//! The `xks-proxy` binary: everything is in the library.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Wipes every block of the heap when it is freed. Plaintext passes through buffers of hyper, rustls and serde_json, which wipe nothing.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    xks_proxy::cli::run()
}
