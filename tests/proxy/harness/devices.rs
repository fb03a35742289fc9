//! Tokens, the software that provides them, and their failures.

pub mod dialect;
pub mod outage;
pub mod product;
pub mod token;
