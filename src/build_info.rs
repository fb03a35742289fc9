//! Name and version of this build, for health answers, metrics and `--version`.

/// The package's version (semantic versioning).
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `xksProxyVendor` in GetHealthStatus (XKS API, GetHealthStatus).
pub const VENDOR: &str = "xks-proxy";

/// `xksProxyModel` in GetHealthStatus.
pub const MODEL: &str = concat!("xks-proxy ", env!("CARGO_PKG_VERSION"));
