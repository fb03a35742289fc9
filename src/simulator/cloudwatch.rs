//! The CloudWatch metrics of external key stores: `GetMetricData` and `ListMetrics` for the namespace `AWS/KMS`, with the names and
//! dimensions that the KMS Developer Guide documents.
//!
//! As in CloudWatch, a metric is identified by its name and all of its dimensions, so a query with `MetricStat` must have every dimension.
//! A Metrics Insights query (`SELECT SUM(XksProxyErrors) FROM "AWS/KMS" WHERE …`) aggregates over the dimensions that it does not have.

pub(super) mod cbor;
pub(super) mod data;
mod insights;
mod measures;
pub(super) mod protocol;
mod series;

pub(super) use measures::{CallMeasurement, StoreName};
pub(super) use protocol::CloudWatchProtocol;
pub(super) use series::CloudWatch;
