//! Section 4: the required and optional fields of requestMetadata.

use serde_json::{Value, json};

use super::super::body::{Op, in_metadata, set, unset};
use super::super::case::{Case, must};
use super::super::case_error::{CaseError, StepResult};
use super::super::check;
use super::super::context::Context;

const PRINCIPAL: &str = "awsPrincipalArn";
const OPERATION: &str = "kmsOperation";
const REQUEST_ID: &str = "kmsRequestId";
const KEY_ARN: &str = "kmsKeyArn";

type Change = fn(&mut Value, &str);

fn required(op: Op) -> &'static [&'static str] {
    match op {
        Op::Health => &[OPERATION, REQUEST_ID],
        Op::Metadata => &[PRINCIPAL, OPERATION, REQUEST_ID],
        Op::Encrypt | Op::Decrypt => &[PRINCIPAL, OPERATION, REQUEST_ID, KEY_ARN],
    }
}

fn known(op: Op) -> &'static [&'static str] {
    match op {
        // Until 1.0.2 also DescribeKey.
        Op::Metadata => &["CreateKey"],
        Op::Encrypt => &[
            "Encrypt",
            "GenerateDataKey",
            "GenerateDataKeyWithoutPlaintext",
            "ReEncrypt",
        ],
        Op::Decrypt => &["Decrypt", "ReEncrypt"],
        Op::Health => &[
            "CreateCustomKeyStore",
            "ConnectCustomKeyStore",
            "UpdateCustomKeyStore",
            "KmsHealthCheck",
        ],
    }
}

pub(super) fn cases() -> Vec<Case> {
    Op::ALL.into_iter().flat_map(operation_cases).collect()
}

fn operation_cases(op: Op) -> Vec<Case> {
    let mut cases = required_fields(op);
    cases.extend(malformed(op));
    cases.extend(operations(op));
    cases.extend(unusual(op));
    if op != Op::Health {
        cases.extend(optional_fields(op));
    }
    cases
}

fn required_fields(op: Op) -> Vec<Case> {
    let name = op.name();
    let mut cases = Vec::new();
    for &field in required(op) {
        let wrong: [(&str, Change); 3] = [
            ("missing", unset),
            ("null", |body, field| set(body, field, Value::Null)),
            ("number", |body, field| set(body, field, 7)),
        ];
        cases.extend(wrong.map(|(how, change)| {
            invalid(
                op,
                format!("{name}-{field}-{how}"),
                format!("{name} with {field} {how}"),
                move |body| {
                    in_metadata(body, |metadata| change(metadata, field));
                },
            )
        }));
    }
    cases
}

fn malformed(op: Op) -> [Case; 3] {
    let name = op.name();
    [
        invalid(
            op,
            format!("{name}-requestMetadata-missing"),
            format!("{name} without requestMetadata"),
            |body| unset(body, "requestMetadata"),
        ),
        invalid(
            op,
            format!("{name}-requestMetadata-array"),
            format!("{name} with requestMetadata as an array"),
            |body| set(body, "requestMetadata", json!([])),
        ),
        invalid(
            op,
            format!("{name}-kmsRequestId-empty"),
            format!("{name} with an empty kmsRequestId"),
            |body| in_metadata(body, |m| set(m, REQUEST_ID, "")),
        )
        .advised(),
    ]
}

fn operations(op: Op) -> impl Iterator<Item = Case> {
    let name = op.name();
    known(op).iter().map(move |&operation| {
        accepted(
            op,
            format!("{name}-kmsOperation-{operation}"),
            format!("{name} for {operation}"),
            move |body| in_metadata(body, |m| set(m, OPERATION, operation)),
        )
    })
}

/// Values that a proxy must accept although it does not know them.
fn unusual(op: Op) -> [Case; 4] {
    let name = op.name();
    [
        accepted(
            op,
            format!("{name}-kmsOperation-unknown"),
            format!("{name} for an unknown operation"),
            |body| in_metadata(body, |m| set(m, OPERATION, "OperationOfTheFuture")),
        ),
        accepted(
            op,
            format!("{name}-unknown-field-in-requestMetadata"),
            format!("{name} with an unknown field in requestMetadata"),
            |body| in_metadata(body, |m| set(m, "fieldOfTheFuture", json!({ "a": [1] }))),
        ),
        accepted(
            op,
            format!("{name}-unknown-field"),
            format!("{name} with an unknown field beside requestMetadata"),
            |body| set(body, "fieldOfTheFuture", "\u{e4}\u{1f511}"),
        ),
        accepted(
            op,
            format!("{name}-kmsRequestId-opaque"),
            format!("{name} with a kmsRequestId of an unusual form"),
            |body| in_metadata(body, |m| set(m, REQUEST_ID, "not a UUID: \u{e4}/\u{1f511}")),
        ),
    ]
}

fn optional_fields(op: Op) -> [Case; 2] {
    let name = op.name();
    let long_principal = |body: &mut Value| {
        in_metadata(body, |metadata| {
            let account = metadata.get(PRINCIPAL).and_then(Value::as_str);
            let account = account.and_then(|arn| arn.strip_suffix("user/Conformance"));
            let role = format!("{}role/", account.unwrap_or_default());
            set(metadata, PRINCIPAL, format!("{role:x<2048}"));
        });
    };
    [
        accepted(
            op,
            format!("{name}-optional-fields"),
            format!("{name} with all optional fields"),
            optional,
        ),
        accepted(
            op,
            format!("{name}-arn-of-2048-characters"),
            format!("{name} with an awsPrincipalArn of 2,048 characters"),
            long_principal,
        ),
    ]
}

fn optional(body: &mut Value) {
    in_metadata(body, |metadata| {
        set(metadata, "kmsViaService", "s3.eu-west-1.amazonaws.com");
        set(metadata, "awsSourceVpc", "vpc-0123456789abcdef0");
        set(metadata, "awsSourceVpce", "vpce-0123456789abcdef0");
    });
}

fn changed(
    context: &Context<'_>,
    op: Op,
    change: &impl Fn(&mut Value),
) -> Result<Value, CaseError> {
    let mut body = context.good_body(op)?;
    change(&mut body);
    Ok(body)
}

/// A change that makes the body invalid.
fn invalid(op: Op, id: String, sent: String, change: impl Fn(&mut Value) + 'static) -> Case {
    must(
        "4",
        id,
        sent,
        "400 ValidationException",
        move |context| -> StepResult {
            let body = changed(context, op, &change)?;
            context.rejected(op, context.key(), &body, check::VALIDATION)
        },
    )
}

/// A change that the proxy must accept.
fn accepted(op: Op, id: String, sent: String, change: impl Fn(&mut Value) + 'static) -> Case {
    must("4", id, sent, "200", move |context| -> StepResult {
        let body = changed(context, op, &change)?;
        context.ok(op, context.key(), &body).map(drop)
    })
}
