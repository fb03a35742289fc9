//! Section 5, GetKeyMetadata.

use serde_json::Value;

use super::super::body::Op;
use super::super::case::{Case, must};
use super::super::case_error::{CaseError, StepResult};
use super::super::check;
use super::super::context::Context;

const USAGES: [&str; 9] = [
    "ENCRYPT",
    "DECRYPT",
    "SIGN",
    "VERIFY",
    "WRAP",
    "UNWRAP",
    "DERIVE",
    "SIGN_RECOVER",
    "VERIFY_RECOVER",
];

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn cases() -> Vec<Case> {
    vec![
        must(
            "5",
            "metadata-shape",
            "metadata of --key",
            "keySpec, 1 to 10 known keyUsage values, keyStatus",
            |context| metadata(context, context.key()).map(drop),
        ),
        must(
            "5",
            "metadata-spec",
            "metadata of --key",
            "keySpec AES_256",
            |context| {
                let body = metadata(context, context.key())?;
                let spec = check::text(&body, "keySpec").to_owned();
                check::ensure(spec == "AES_256", || format!("keySpec is {spec:?}"))
            },
        ),
        must(
            "5",
            "metadata-usage",
            "metadata of --key",
            "keyUsage has ENCRYPT and DECRYPT",
            |context| {
                let usage = usage(&metadata(context, context.key())?);
                check::ensure(has(&usage, "ENCRYPT") && has(&usage, "DECRYPT"), || {
                    format!("keyUsage is {usage:?}")
                })
            },
        ),
        must(
            "5",
            "metadata-enabled",
            "metadata of --key",
            "keyStatus ENABLED",
            |context| status(context, context.key(), "ENABLED"),
        ),
        must(
            "5",
            "metadata-disabled",
            "metadata of --disabled-key",
            "200 with keyStatus DISABLED",
            |context| status(context, context.disabled()?, "DISABLED"),
        ),
        must(
            "5",
            "metadata-encrypt-only",
            "metadata of --encrypt-only-key",
            "keyUsage has ENCRYPT and not DECRYPT",
            |context| {
                let usage = usage(&metadata(context, context.encrypt_only()?)?);
                check::ensure(has(&usage, "ENCRYPT") && !has(&usage, "DECRYPT"), || {
                    format!("keyUsage is {usage:?}")
                })
            },
        ),
        must(
            "5",
            "metadata-decrypt-only",
            "metadata of --decrypt-only-key",
            "keyUsage has DECRYPT and not ENCRYPT",
            |context| {
                let usage = usage(&metadata(context, context.decrypt_only()?)?);
                check::ensure(has(&usage, "DECRYPT") && !has(&usage, "ENCRYPT"), || {
                    format!("keyUsage is {usage:?}")
                })
            },
        ),
    ]
}

fn metadata(context: &Context<'_>, key: &str) -> Result<Value, CaseError> {
    let body = context.ok(Op::Metadata, key, &context.plain_body(Op::Metadata))?;
    check::ensure(!check::text(&body, "keySpec").is_empty(), || {
        "keySpec is missing".to_owned()
    })?;
    let (usage, status) = (usage(&body), check::text(&body, "keyStatus"));
    check::ensure((1..=10).contains(&usage.len()), || {
        format!("keyUsage has {} values", usage.len())
    })?;
    check::ensure(usage.iter().all(|u| USAGES.contains(&u.as_str())), || {
        format!("keyUsage is {usage:?}")
    })?;
    check::ensure(matches!(status, "ENABLED" | "DISABLED"), || {
        format!("keyStatus is {status:?}")
    })?;
    Ok(body)
}

fn status(context: &Context<'_>, key: &str, wanted: &str) -> StepResult {
    let body = metadata(context, key)?;
    let status = check::text(&body, "keyStatus");
    check::ensure(status == wanted, || format!("keyStatus is {status:?}"))
}

/// A value that is not a string counts as an unknown usage.
fn usage(body: &Value) -> Vec<String> {
    let values = body.get("keyUsage").and_then(Value::as_array);
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    values.into_iter().flatten().map(text).collect()
}

fn has(usage: &[String], wanted: &str) -> bool {
    usage.iter().any(|usage| usage == wanted)
}
