//! The HTTP listener for KMS, CloudWatch and metrics, and the records of finished calls.

pub(super) mod cloudwatch;
pub(super) mod listener;
pub(super) mod records;
