//! Changes of the configuration while the proxy serves.

mod hostile_files;
mod reload;
mod rotation;
