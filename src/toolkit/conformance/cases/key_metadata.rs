//! Section 5, GetKeyMetadata.

use serde_json::Value;

use super::super::body::Op;
use super::super::case::{Case, must};
use super::super::check;
use super::super::fault::{Fault, Judged};
use super::super::scene::Scene;

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
            |scene| of(scene, scene.key()).map(drop),
        ),
        must(
            "5",
            "metadata-spec",
            "metadata of --key",
            "keySpec AES_256",
            |scene| {
                let body = of(scene, scene.key())?;
                let spec = check::text(&body, "keySpec").to_owned();
                check::that(spec == "AES_256", || format!("keySpec is {spec:?}"))
            },
        ),
        must(
            "5",
            "metadata-usage",
            "metadata of --key",
            "keyUsage has ENCRYPT and DECRYPT",
            |scene| {
                let usage = usage(&of(scene, scene.key())?);
                check::that(has(&usage, "ENCRYPT") && has(&usage, "DECRYPT"), || {
                    format!("keyUsage is {usage:?}")
                })
            },
        ),
        must(
            "5",
            "metadata-enabled",
            "metadata of --key",
            "keyStatus ENABLED",
            |scene| status(scene, scene.key(), "ENABLED"),
        ),
        must(
            "5",
            "metadata-disabled",
            "metadata of --disabled-key",
            "200 with keyStatus DISABLED",
            |scene| status(scene, scene.disabled()?, "DISABLED"),
        ),
        must(
            "5",
            "metadata-encrypt-only",
            "metadata of --encrypt-only-key",
            "keyUsage has ENCRYPT and not DECRYPT",
            |scene| {
                let usage = usage(&of(scene, scene.encrypt_only()?)?);
                check::that(has(&usage, "ENCRYPT") && !has(&usage, "DECRYPT"), || {
                    format!("keyUsage is {usage:?}")
                })
            },
        ),
        must(
            "5",
            "metadata-decrypt-only",
            "metadata of --decrypt-only-key",
            "keyUsage has DECRYPT and not ENCRYPT",
            |scene| {
                let usage = usage(&of(scene, scene.decrypt_only()?)?);
                check::that(has(&usage, "DECRYPT") && !has(&usage, "ENCRYPT"), || {
                    format!("keyUsage is {usage:?}")
                })
            },
        ),
    ]
}

fn of(scene: &Scene<'_>, key: &str) -> Result<Value, Fault> {
    let body = scene.ok(Op::Metadata, key, &scene.plain_body(Op::Metadata))?;
    check::that(!check::text(&body, "keySpec").is_empty(), || {
        "keySpec is missing".to_owned()
    })?;
    let (usage, status) = (usage(&body), check::text(&body, "keyStatus"));
    check::that((1..=10).contains(&usage.len()), || {
        format!("keyUsage has {} values", usage.len())
    })?;
    check::that(usage.iter().all(|u| USAGES.contains(&u.as_str())), || {
        format!("keyUsage is {usage:?}")
    })?;
    check::that(matches!(status, "ENABLED" | "DISABLED"), || {
        format!("keyStatus is {status:?}")
    })?;
    Ok(body)
}

fn status(scene: &Scene<'_>, key: &str, wanted: &str) -> Judged {
    let body = of(scene, key)?;
    let status = check::text(&body, "keyStatus");
    check::that(status == wanted, || format!("keyStatus is {status:?}"))
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
