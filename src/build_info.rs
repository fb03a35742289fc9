//! What this build is: the names that health answers, metrics and `--version` show.

/// The package's version (semantic versioning).
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `xksProxyVendor` in GetHealthStatus (XKS API, GetHealthStatus).
pub const VENDOR: &str = "xks-proxy";

/// `xksProxyModel` in GetHealthStatus.
pub const MODEL: &str = concat!("xks-proxy ", env!("CARGO_PKG_VERSION"));
