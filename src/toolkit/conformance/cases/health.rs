//! Section 5, GetHealthStatus.

use serde_json::Value;

use super::super::body::Op;
use super::super::case::{Case, must, should};
use super::super::check;
use super::super::fault::{Fault, Judged};
use super::super::scene::Scene;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = of_fleet();
    cases.extend(["xksProxyVendor", "xksProxyModel", "ekmVendor"].map(text_field));
    cases
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn of_fleet() -> Vec<Case> {
    vec![
        must(
            "5",
            "health-fleet-size",
            "health",
            "xksProxyFleetSize is a number from 1",
            |scene| {
                let size = of(scene)?.get("xksProxyFleetSize").and_then(Value::as_u64);
                check::that(size.is_some_and(|size| size >= 1), || {
                    format!("xksProxyFleetSize is {size:?}")
                })
            },
        ),
        must(
            "5",
            "health-fleet-details",
            "health",
            "1 to 10 ekmFleetDetails",
            |scene| {
                let count = details(&of(scene)?).len();
                check::that((1..=10).contains(&count), || {
                    format!("{count} ekmFleetDetails")
                })
            },
        ),
        must(
            "5",
            "health-fleet-detail-shape",
            "health",
            "each with id, model and healthStatus",
            |scene| {
                every_detail(scene, |detail| {
                    ["id", "model", "healthStatus"]
                        .iter()
                        .all(|f| !check::text(detail, f).is_empty())
                })
            },
        ),
        must(
            "5",
            "health-status-values",
            "health",
            "each ACTIVE, DEGRADED or UNAVAILABLE",
            |scene| {
                every_detail(scene, |detail| {
                    matches!(
                        check::text(detail, "healthStatus"),
                        "ACTIVE" | "DEGRADED" | "UNAVAILABLE"
                    )
                })
            },
        ),
        should(
            "5",
            "health-one-serves",
            "health",
            "at least one is not UNAVAILABLE",
            |scene| {
                let serves = details(&of(scene)?)
                    .iter()
                    .any(|d| check::text(d, "healthStatus") != "UNAVAILABLE");
                check::that(serves, || "KMS would not connect".to_owned())
            },
        ),
    ]
}

fn text_field(field: &'static str) -> Case {
    must(
        "5",
        format!("health-{field}"),
        "health",
        format!("{field} is a string"),
        move |scene| {
            let body = of(scene)?;
            check::that(!check::text(&body, field).is_empty(), || {
                format!("{field} is missing")
            })
        },
    )
}

fn of(scene: &Scene<'_>) -> Result<Value, Fault> {
    scene.ok(Op::Health, "", &scene.plain_body(Op::Health))
}

fn details(body: &Value) -> Vec<Value> {
    let list = body.get("ekmFleetDetails").and_then(Value::as_array);
    list.cloned().unwrap_or_default()
}

fn every_detail(scene: &Scene<'_>, right: impl Fn(&Value) -> bool) -> Judged {
    let details = details(&of(scene)?);
    let wrong = details.iter().find(|detail| !right(detail));
    check::that(wrong.is_none() && !details.is_empty(), || {
        format!("ekmFleetDetails: {details:?}")
    })
}
