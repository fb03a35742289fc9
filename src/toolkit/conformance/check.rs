//! Checks of responses: successes, errors in the form of section 6, canonical Base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::body::Encrypted;
use super::case_error::{CaseError, StepResult, violation};
use super::wire::Response;

pub(super) const VALIDATION: (u16, &str) = (400, "ValidationException");
pub(super) const INVALID_CIPHERTEXT: (u16, &str) = (400, "InvalidCiphertextException");
pub(super) const INVALID_KEY_USAGE: (u16, &str) = (400, "InvalidKeyUsageException");
pub(super) const INVALID_STATE: (u16, &str) = (400, "InvalidStateException");
pub(super) const AUTHENTICATION: (u16, &str) = (401, "AuthenticationFailedException");
pub(super) const KEY_NOT_FOUND: (u16, &str) = (404, "KeyNotFoundException");
pub(super) const INVALID_PATH: (u16, &str) = (404, "InvalidUriPathException");
pub(super) const UNSUPPORTED: (u16, &str) = (501, "UnsupportedOperationException");

/// Every row of the table of section 6.
const ERRORS: [(u16, &str); 12] = [
    VALIDATION,
    INVALID_STATE,
    INVALID_CIPHERTEXT,
    INVALID_KEY_USAGE,
    AUTHENTICATION,
    (403, "AccessDeniedException"),
    KEY_NOT_FOUND,
    INVALID_PATH,
    (429, "ThrottlingException"),
    (500, "InternalException"),
    UNSUPPORTED,
    (503, "DependencyTimeoutException"),
];

/// Returns a violation with this message if a condition is false.
pub(super) fn ensure(holds: bool, complaint: impl FnOnce() -> String) -> StepResult {
    match holds {
        true => Ok(()),
        false => violation(complaint()),
    }
}

/// Returns the body as JSON. The Content-Type must be JSON too.
pub(super) fn body(response: &Response) -> Result<Value, CaseError> {
    let kind = response.value("content-type").unwrap_or_default();
    let media = kind.split(';').next().unwrap_or_default().trim();
    ensure(media.eq_ignore_ascii_case("application/json"), || {
        format!(
            "Content-Type is {kind:?}, not application/json (status {})",
            response.status
        )
    })?;
    serde_json::from_slice(&response.body)
        .map_err(|error| CaseError::Violation(format!("the body is not JSON: {error}")))
}

/// Checks for a 200 with a JSON object.
pub(super) fn success(response: &Response) -> Result<Value, CaseError> {
    let body = body(response)?;
    ensure(response.status == 200, || {
        format!(
            "expected 200, got {} {}",
            response.status,
            text(&body, "errorName")
        )
    })?;
    ensure(body.is_object(), || {
        "the body is not a JSON object".to_owned()
    })?;
    Ok(body)
}

/// Checks for one of the wanted errors, in the form of section 6.
pub(super) fn error(response: &Response, wanted: &[(u16, &str)]) -> StepResult {
    let body = shaped(response)?;
    let found = (response.status, text(&body, "errorName"));
    ensure(wanted.contains(&found), || {
        let (status, name) = found;
        let names: Vec<String> = wanted.iter().map(|(s, n)| format!("{s} {n}")).collect();
        format!("expected {}, got {status} {name}", names.join(" or "))
    })
}

/// Checks for any error of the table, in the form of section 6.
pub(super) fn any_error(response: &Response) -> StepResult {
    let body = shaped(response)?;
    let found = (response.status, text(&body, "errorName"));
    ensure(ERRORS.contains(&found), || {
        format!("{} {} is not in the table of errors", found.0, found.1)
    })
}

/// Checks the body of an error: errorName, and an errorMessage that is short and printable.
pub(super) fn shaped(response: &Response) -> Result<Value, CaseError> {
    ensure(response.status != 200, || {
        "expected an error, got 200".to_owned()
    })?;
    let body = body(response)?;
    let is_named = body.get("errorName").is_some_and(Value::is_string);
    ensure(is_named, || {
        format!("status {} without errorName", response.status)
    })?;
    match body.get("errorMessage") {
        None => {}
        Some(Value::String(message)) => {
            let is_printable = message.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
            ensure(message.len() < 512, || {
                format!(
                    "errorMessage has {} characters, not less than 512",
                    message.len()
                )
            })?;
            ensure(is_printable, || {
                "errorMessage is not printable ASCII".to_owned()
            })?;
        }
        Some(_) => return violation("errorMessage is not a string"),
    }
    Ok(body)
}

pub(super) fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Decodes a Base64 field of a response.
pub(super) fn bytes(body: &Value, field: &str) -> Result<Vec<u8>, CaseError> {
    let Some(text) = body.get(field).and_then(Value::as_str) else {
        return violation(format!("{field} is missing, or not a string"));
    };
    STANDARD
        .decode(text)
        .map_err(|error| CaseError::Violation(format!("{field} is not canonical Base64: {error}")))
}

/// Decodes an Encrypt response.
pub(super) fn encrypted(body: Value) -> Result<Encrypted, CaseError> {
    let metadata = match body.get("ciphertextMetadata") {
        None => Vec::new(),
        Some(_) => bytes(&body, "ciphertextMetadata")?,
    };
    Ok(Encrypted {
        ciphertext: bytes(&body, "ciphertext")?,
        iv: bytes(&body, "initializationVector")?,
        tag: bytes(&body, "authenticationTag")?,
        metadata,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, kind: &str, body: &str) -> Response {
        Response {
            status,
            headers: vec![("content-type".into(), kind.into())],
            body: body.into(),
        }
    }

    const JSON: &str = "application/json";

    #[test]
    fn errors_are_checked_for_their_whole_form() {
        let named = r#"{"errorName":"ValidationException"}"#;
        assert!(error(&answer(400, JSON, named), &[VALIDATION]).is_ok());
        let long = format!(
            r#"{{"errorName":"ValidationException","errorMessage":"{}"}}"#,
            "x".repeat(512)
        );
        for (status, kind, body) in [
            (500, JSON, named),
            (400, "text/html", named),
            (400, JSON, "<html>"),
            (400, JSON, r#"{"errorName":"InternalException"}"#),
            (400, JSON, "{}"),
            (200, JSON, named),
            (400, JSON, &long),
            (
                400,
                JSON,
                r#"{"errorName":"ValidationException","errorMessage":"ä"}"#,
            ),
            (
                400,
                JSON,
                r#"{"errorName":"ValidationException","errorMessage":7}"#,
            ),
        ] {
            assert!(
                error(&answer(status, kind, body), &[VALIDATION]).is_err(),
                "{body}"
            );
        }
    }

    #[test]
    fn base64_of_answers_is_strict() {
        let decodes = |text: &str| bytes(&serde_json::json!({ "x": text }), "x").is_ok();
        assert!(decodes("+/8=") && decodes(""));
        for bad in ["-_8=", "+/8", "+/9=", "+/8=\n"] {
            assert!(!decodes(bad), "{bad}");
        }
    }
}
