//! CloudWatch, as far as KMS publishes metrics of external key stores there: `GetMetricData` and `ListMetrics` for the namespace
//! `AWS/KMS`, with the names and dimensions that the KMS Developer Guide documents.
//!
//! As in CloudWatch, a metric is its name with all of its dimensions: a query by `MetricStat` has to name every one. Metrics Insights
//! (`SELECT SUM(XksProxyErrors) FROM "AWS/KMS" WHERE …`) sums over the others.

pub(super) mod cbor;
pub(super) mod data;
mod insights;
mod measures;
pub(super) mod protocol;
mod series;

pub(super) use measures::{Measured, StoreName};
pub(super) use protocol::Protocol;
pub(super) use series::CloudWatch;
