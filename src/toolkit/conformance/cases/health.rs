//! Section 5, GetHealthStatus.

use serde_json::Value;

use super::super::body::Op;
use super::super::case::{Case, must, should};
use super::super::case_error::{CaseError, StepResult};
use super::super::check;
use super::super::context::Context;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = fleet_cases();
    cases.extend(["xksProxyVendor", "xksProxyModel", "ekmVendor"].map(text_field));
    cases
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn fleet_cases() -> Vec<Case> {
    vec![
        must(
            "5",
            "health-fleet-size",
            "health",
            "xksProxyFleetSize is a number from 1",
            |context| {
                let size = health_status(context)?
                    .get("xksProxyFleetSize")
                    .and_then(Value::as_u64);
                check::ensure(size.is_some_and(|size| size >= 1), || {
                    format!("xksProxyFleetSize is {size:?}")
                })
            },
        ),
        must(
            "5",
            "health-fleet-details",
            "health",
            "1 to 10 ekmFleetDetails",
            |context| {
                let count = details(&health_status(context)?).len();
                check::ensure((1..=10).contains(&count), || {
                    format!("{count} ekmFleetDetails")
                })
            },
        ),
        must(
            "5",
            "health-fleet-detail-shape",
            "health",
            "each with id, model and healthStatus",
            |context| {
                every_detail(context, |detail| {
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
            |context| {
                every_detail(context, |detail| {
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
            |context| {
                let is_served = details(&health_status(context)?)
                    .iter()
                    .any(|d| check::text(d, "healthStatus") != "UNAVAILABLE");
                check::ensure(is_served, || "KMS would not connect".to_owned())
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
        move |context| {
            let body = health_status(context)?;
            check::ensure(!check::text(&body, field).is_empty(), || {
                format!("{field} is missing")
            })
        },
    )
}

fn health_status(context: &Context<'_>) -> Result<Value, CaseError> {
    context.ok(Op::Health, "", &context.plain_body(Op::Health))
}

fn details(body: &Value) -> Vec<Value> {
    let list = body.get("ekmFleetDetails").and_then(Value::as_array);
    list.cloned().unwrap_or_default()
}

fn every_detail(context: &Context<'_>, is_valid: impl Fn(&Value) -> bool) -> StepResult {
    let details = details(&health_status(context)?);
    let wrong = details.iter().find(|detail| !is_valid(detail));
    check::ensure(wrong.is_none() && !details.is_empty(), || {
        format!("ekmFleetDetails: {details:?}")
    })
}
