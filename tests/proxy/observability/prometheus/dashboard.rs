//! The dashboard is complete without a running Prometheus: rows, units, descriptions, thresholds, and metrics that exist.

use serde_json::Value;

use crate::observability::metrics_table;

/// The rows, from top to bottom.
const ROWS: [&str; 7] = [
    "Overview",
    "Traffic",
    "Latency by stage",
    "HSMs and workers",
    "Security",
    "Audit",
    "Limits",
];

/// Metrics with a panel in any case.
const REQUIRED: [&str; 6] = [
    "xks_quota_refusals_total",
    "xks_shed_total",
    "xks_policy_decisions_total",
    "xks_key_store_enabled",
    "xks_key_store_keys_disabled",
    "xks_connections_closed_total",
];

pub fn dashboard() -> Value {
    let dashboard = include_str!("../../../../deploy/grafana/xks-proxy.json");
    serde_json::from_str(dashboard).unwrap()
}

/// Returns the panels that are not rows.
pub fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels.filter(|panel| panel["type"] != "row")
}

/// Returns the queries of a panel, with a value in place of each variable.
pub fn queries(panel: &Value) -> Vec<String> {
    let targets = panel["targets"].as_array().unwrap();
    assert!(!targets.is_empty(), "{}", panel["title"]);
    let query = |target: &Value| {
        let query = target["expr"].as_str().unwrap();
        let query = query.replace("$__rate_interval", "1m");
        let query = query.replace("$__range", "1m");
        query.replace("$store", ".*").replace("$instance", ".*")
    };
    targets.iter().map(query).collect()
}

/// Returns each metric in a query, with the text of its selector.
fn selectors(query: &str) -> Vec<(String, String)> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(at) = rest.find(is_of_name) {
        rest = &rest[at..];
        let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let selector = behind.strip_prefix('{').and_then(|s| s.split_once('}'));
        rest = selector.map_or(behind, |(_, rest)| rest);
        if name.starts_with("xks_") || name.starts_with("process_") || name.starts_with("job:") {
            let selector = selector.map_or("", |(selector, _)| selector);
            found.push((name.to_owned(), selector.to_owned()));
        }
    }
    found
}

fn family(name: &str) -> &str {
    let suffixes = ["_bucket", "_sum", "_count"].iter();
    let mut stripped = suffixes.filter_map(|suffix| name.strip_suffix(suffix));
    stripped.next().unwrap_or(name)
}

#[test]
fn rows_are_in_order_and_the_first_one_has_thresholds() {
    let dashboard = dashboard();
    let all = dashboard["panels"].as_array().unwrap();
    let rows = all.iter().filter(|panel| panel["type"] == "row");
    let titles: Vec<_> = rows.map(|row| row["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ROWS);
    let first = all[1..].iter().take_while(|panel| panel["type"] != "row");
    let first: Vec<_> = first.collect();
    assert_eq!(first.len(), 6);
    for panel in first {
        assert_eq!(panel["type"], "stat", "{}", panel["title"]);
        let steps = &panel["fieldConfig"]["defaults"]["thresholds"]["steps"];
        assert!(steps.as_array().unwrap().len() > 1, "{}", panel["title"]);
    }
}

#[test]
fn every_panel_has_a_unit_and_a_description() {
    for panel in panels(&dashboard()) {
        let title = panel["title"].as_str().unwrap();
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.ends_with('.'), "{title}: {description:?}");
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
        assert!(unit.is_some_and(|unit| !unit.is_empty()), "{title}");
    }
}

#[test]
fn panels_do_not_overlap() {
    let dashboard = dashboard();
    let mut cells = std::collections::HashSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(cells.insert((x, y)), "{}", panel["title"]);
            }
        }
    }
}

#[test]
fn queries_use_documented_metrics_and_the_variables() {
    let (documented, _) = metrics_table::documented();
    let mut used = Vec::new();
    for panel in panels(&dashboard()) {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let selectors = selectors(query);
            assert!(!selectors.is_empty(), "{query}");
            for (name, selector) in selectors {
                // A recording rule of the whole job.
                if name.starts_with("job:") {
                    continue;
                }
                let family = family(&name);
                let documented = documented.get(family);
                let documented = documented.unwrap_or_else(|| panic!("no metric {name}: {query}"));
                assert!(selector.contains("instance=~\"$instance\""), "{query}");
                let has_store = documented.labels.contains("store");
                assert_eq!(
                    selector.contains("store=~\"$store\""),
                    has_store,
                    "{name}: {query}"
                );
                used.push(family.to_owned());
            }
        }
    }
    for name in REQUIRED {
        assert!(used.iter().any(|used| used == name), "no panel of {name}");
    }
}
