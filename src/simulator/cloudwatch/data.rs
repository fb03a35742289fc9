//! GetMetricData and ListMetrics.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::insights::{Function, Select};
use super::series::{CloudWatch, MetricName, Points, add};
use crate::simulator::callers::caller::KmsCaller;
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::simulator::wire::{check, need};

/// The namespace of the metrics of KMS.
const NAMESPACE: &str = "AWS/KMS";

/// The maximum number of queries in a request.
const MOST_QUERIES: usize = 500;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetMetricDataRequest {
    metric_data_queries: Option<Vec<MetricQuery>>,
    start_time: Option<f64>,
    end_time: Option<f64>,
    scan_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricQuery {
    id: Option<String>,
    metric_stat: Option<MetricStat>,
    expression: Option<String>,
    label: Option<String>,
    period: Option<f64>,
    return_data: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricStat {
    metric: Option<MetricFields>,
    period: Option<f64>,
    stat: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricFields {
    namespace: Option<String>,
    metric_name: Option<String>,
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    name: String,
    value: Option<String>,
}

/// The data points that a query selects, and how they are aggregated.
struct SelectedData {
    points: Points,
    function: Function,
    period: i64,
    label: String,
}

fn invalid(reason: impl Into<String>) -> Exception {
    ExceptionKind::Validation.with_message(reason)
}

fn parse<T: for<'de> Deserialize<'de>>(body: Value) -> Result<T, Exception> {
    // The error text may quote the request, which has no secrets.
    serde_json::from_value(body)
        .map_err(|error| ExceptionKind::Serialization.with_message(error.to_string()))
}

/// GetMetricData.
pub(in crate::simulator) fn get(
    watch: &CloudWatch,
    caller: &KmsCaller,
    body: Value,
) -> Result<Value, Exception> {
    let request: GetMetricDataRequest = parse(body)?;
    let queries = need(&request.metric_data_queries, "metricDataQueries")?;
    let fits = (1..=MOST_QUERIES).contains(&queries.len());
    check(
        fits,
        "metricDataQueries",
        "Member must have length between 1 and 500",
    )?;
    let (start, end) = (
        *need(&request.start_time, "startTime")?,
        *need(&request.end_time, "endTime")?,
    );
    if start >= end {
        return Err(invalid(
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    let is_ascending = match request.scan_by.as_deref() {
        Some("TimestampAscending") => true,
        None | Some("TimestampDescending") => false,
        Some(_) => {
            return Err(invalid(
                "ScanBy is TimestampAscending or TimestampDescending.",
            ));
        }
    };
    let mut results = Vec::new();
    for query in queries {
        let id = need(&query.id, "id")?;
        let data = query.select(watch, caller)?;
        if query.return_data != Some(false) {
            results.push(data.result(id, start, end, is_ascending));
        }
    }
    Ok(json!({ "MetricDataResults": results, "Messages": [] }))
}

impl MetricQuery {
    fn select(&self, watch: &CloudWatch, caller: &KmsCaller) -> Result<SelectedData, Exception> {
        match (&self.metric_stat, &self.expression) {
            (Some(stat), None) => stat.select(watch, caller, self.label.as_deref()),
            (None, Some(expression)) => self.select_by_expression(watch, caller, expression),
            _ => Err(invalid("A query has either a MetricStat or an Expression.")),
        }
    }

    fn select_by_expression(
        &self,
        watch: &CloudWatch,
        caller: &KmsCaller,
        expression: &str,
    ) -> Result<SelectedData, Exception> {
        let select = Select::parse(expression).map_err(|reason| {
            invalid(format!(
                "Only Metrics Insights queries are supported: {reason}."
            ))
        })?;
        let points = watch.merged(|name| {
            is_of(name, caller)
                && select.namespace == NAMESPACE
                && name.metric == select.metric
                && select.is_about(&name.dimensions)
        });
        Ok(SelectedData {
            points,
            function: select.function,
            period: period(self.period)?,
            label: self.label.clone().unwrap_or(select.metric),
        })
    }
}

impl MetricStat {
    fn select(
        &self,
        watch: &CloudWatch,
        caller: &KmsCaller,
        label: Option<&str>,
    ) -> Result<SelectedData, Exception> {
        let metric = need(&self.metric, "metricStat.metric")?;
        let name = need(&metric.metric_name, "metricStat.metric.metricName")?;
        let namespace = need(&metric.namespace, "metricStat.metric.namespace")?;
        let function = Function::of_statistic(need(&self.stat, "metricStat.stat")?);
        let points = watch.merged(|found| {
            is_of(found, caller)
                && namespace == NAMESPACE
                && found.metric == name
                && found.dimensions.len() == metric.dimensions.len()
                && metric.dimensions.iter().all(|wanted| wanted.is_in(found))
        });
        Ok(SelectedData {
            points,
            function: function.ok_or_else(|| {
                invalid("Stat is Average, Maximum, Minimum, SampleCount or Sum; the simulator does not support percentiles.")
            })?,
            period: period(self.period)?,
            label: label.unwrap_or(name).to_owned(),
        })
    }
}

impl Dimension {
    /// Returns whether a metric has this dimension. A filter without a value matches every value.
    fn is_in(&self, name: &MetricName) -> bool {
        let mut found = name.dimensions.iter();
        found.any(|(name, value)| {
            *name == self.name && self.value.as_ref().is_none_or(|wanted| wanted == value)
        })
    }
}

impl SelectedData {
    fn result(&self, id: &str, start: f64, end: f64, is_ascending: bool) -> Value {
        let mut periods = Points::new();
        for (minute, statistics) in &self.points {
            let begin = (minute * 60).div_euclid(self.period) * self.period;
            // As in CloudWatch, the start is inclusive and the end is exclusive.
            let first = (start / self.period as f64).floor() * self.period as f64;
            if begin as f64 >= first && (begin as f64) < end {
                add(&mut periods, begin, *statistics);
            }
        }
        let mut found: Vec<_> = periods
            .into_iter()
            .map(|(begin, statistics)| (begin, self.function.of(statistics)))
            .collect();
        if !is_ascending {
            found.reverse();
        }
        let (times, values): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        json!({
            "Id": id,
            "Label": self.label,
            "Timestamps": times,
            "Values": values,
            "StatusCode": "Complete",
        })
    }
}

/// Checks a period, in seconds. Data points have a resolution of one minute.
fn period(seconds: Option<f64>) -> Result<i64, Exception> {
    let seconds = *need(&seconds, "period")? as i64;
    match seconds >= 60 && seconds % 60 == 0 {
        true => Ok(seconds),
        false => Err(invalid("Period must be a multiple of 60 seconds.")),
    }
}

fn is_of(name: &MetricName, caller: &KmsCaller) -> bool {
    name.account == caller.account && name.region == caller.region
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListMetricsRequest {
    namespace: Option<String>,
    metric_name: Option<String>,
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

/// ListMetrics. The response has one page.
pub(in crate::simulator) fn list(
    watch: &CloudWatch,
    caller: &KmsCaller,
    body: Value,
) -> Result<Value, Exception> {
    let request: ListMetricsRequest = parse(body)?;
    let is_here = request
        .namespace
        .as_deref()
        .is_none_or(|name| name == NAMESPACE);
    let mut names = watch.names(|name| {
        is_here
            && is_of(name, caller)
            && request
                .metric_name
                .as_deref()
                .is_none_or(|wanted| wanted == name.metric)
            && request.dimensions.iter().all(|wanted| wanted.is_in(name))
    });
    names.sort_by(|a, b| (a.metric, &a.dimensions).cmp(&(b.metric, &b.dimensions)));
    let metrics: Vec<_> = names.iter().map(list_entry).collect();
    Ok(json!({ "Metrics": metrics }))
}

fn list_entry(name: &MetricName) -> Value {
    let dimensions = name.dimensions.iter();
    let dimensions: Vec<_> = dimensions
        .map(|(name, value)| json!({ "Name": name, "Value": value }))
        .collect();
    let mut entry = Map::new();
    entry.insert("Namespace".to_owned(), json!(NAMESPACE));
    entry.insert("MetricName".to_owned(), json!(name.metric));
    entry.insert("Dimensions".to_owned(), json!(dimensions));
    Value::Object(entry)
}

#[cfg(test)]
mod tests;
