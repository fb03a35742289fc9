//! The `kms-simulator` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    xks_proxy::cli::kms_simulator()
}
