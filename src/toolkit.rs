//! The other side of the wire: what judges and loads an XKS proxy from outside, ours or another's.
//!
//! It knows the proxy by its wire only: no tool here imports what serves.

pub mod conformance;
