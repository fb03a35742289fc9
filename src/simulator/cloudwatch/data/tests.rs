//! Valid and invalid queries for metrics.

use super::*;
use crate::simulator::callers::principals::CallerProperties;

fn caller() -> KmsCaller {
    KmsCaller {
        account: "111122223333".into(),
        region: "eu-west-1".into(),
        principal: "arn:aws:iam::111122223333:root".into(),
        is_authenticated: false,
        properties: CallerProperties::default(),
    }
}

fn watch() -> CloudWatch {
    let watch = CloudWatch::default();
    for (account, store, value, at) in [
        ("111122223333", "cks-1", 1.0, 600.0),
        ("111122223333", "cks-1", 3.0, 660.0),
        ("111122223333", "cks-2", 10.0, 660.0),
        ("444455556666", "cks-1", 100.0, 660.0),
    ] {
        let name = MetricName {
            account: account.into(),
            region: "eu-west-1".into(),
            metric: "XksProxyLatency",
            dimensions: vec![
                ("CustomKeyStoreId", store.into()),
                ("KeySpec", "SYMMETRIC_DEFAULT".into()),
            ],
        };
        watch.put(name, value, at);
    }
    watch
}

fn ask(query: Value) -> Result<Value, Exception> {
    let body = json!({ "MetricDataQueries": [query], "StartTime": 0, "EndTime": 3600 });
    get(&watch(), &caller(), body).map(|answer| answer["MetricDataResults"][0].clone())
}

fn stat(dimensions: Value, period: i64, stat: &str) -> Value {
    let metric = json!({
        "Namespace": "AWS/KMS", "MetricName": "XksProxyLatency", "Dimensions": dimensions,
    });
    json!({ "Id": "q", "MetricStat": { "Metric": metric, "Period": period, "Stat": stat } })
}

#[test]
fn a_metric_query_needs_all_dimensions() {
    let store = json!({ "Name": "CustomKeyStoreId", "Value": "cks-1" });
    let spec = json!({ "Name": "KeySpec", "Value": "SYMMETRIC_DEFAULT" });
    let both = ask(stat(json!([store, spec]), 60, "Average")).unwrap();
    assert_eq!(both["Values"], json!([3.0, 1.0]), "the newest first");
    assert_eq!(both["Timestamps"], json!([660, 600]));
    assert_eq!(
        (&both["Id"], &both["StatusCode"]),
        (&json!("q"), &json!("Complete"))
    );
    assert_eq!(
        ask(stat(json!([store]), 60, "Average")).unwrap()["Values"],
        json!([])
    );
}

#[test]
fn insights_queries_aggregate_dimensions_and_periods() {
    let query = |text: &str| {
        let query = json!({ "Id": "q", "Expression": text, "Period": 300 });
        ask(query).unwrap()["Values"].clone()
    };
    let all = "SELECT SUM(XksProxyLatency) FROM \"AWS/KMS\"";
    assert_eq!(query(all), json!([14.0]), "and nothing of another account");
    assert_eq!(
        query(&format!("{all} WHERE CustomKeyStoreId = 'cks-1'")),
        json!([4.0])
    );
    assert_eq!(
        query("SELECT SUM(XksProxyLatency) FROM \"AWS/S3\""),
        json!([])
    );
}

#[test]
fn invalid_queries_are_rejected() {
    let query = |members: Value| ask(members).unwrap_err().kind;
    for bad in [
        json!({ "Id": "q" }),
        json!({ "Id": "q", "Expression": "m1 + m2", "Period": 60 }),
        json!({ "Id": "q", "Expression": "SELECT SUM(m) FROM n" }),
        json!({ "Expression": "SELECT SUM(m) FROM n", "Period": 60 }),
        stat(json!([]), 90, "Sum"),
        stat(json!([]), 60, "p99"),
    ] {
        assert_eq!(query(bad), ExceptionKind::Validation);
    }
    let body = json!({ "MetricDataQueries": [], "StartTime": 0, "EndTime": 60 });
    assert!(get(&watch(), &caller(), body).is_err());
    assert_eq!(
        get(&watch(), &caller(), json!([])).unwrap_err().kind,
        ExceptionKind::Serialization
    );
}

#[test]
fn metrics_are_listed_with_their_dimensions() {
    let list_entry = |body| list(&watch(), &caller(), body).unwrap()["Metrics"].clone();
    assert_eq!(list_entry(json!({})).as_array().unwrap().len(), 2);
    let one_store = json!({ "Dimensions": [{ "Name": "CustomKeyStoreId", "Value": "cks-2" }] });
    assert_eq!(list_entry(one_store)[0]["Dimensions"][0]["Value"], "cks-2");
    assert_eq!(list_entry(json!({ "Namespace": "AWS/S3" })), json!([]));
}
