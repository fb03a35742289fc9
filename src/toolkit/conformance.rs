//! Judges an XKS proxy over the wire.
