//! The lengths and patterns of texts in the service model of KMS. `tests/proxy/kms_simulator/programs/model.py` compares them with the model.

use crate::simulator::wire::exception::Exception;
use crate::simulator::wire::{check, check_text};

/// `^https://[a-zA-Z0-9.-]+$`, 10 to 128 characters. It has no port, because KMS connects to port 443 only.
pub(in crate::simulator) fn check_endpoint(endpoint: &str) -> Result<(), Exception> {
    let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let host = endpoint.strip_prefix("https://");
    let is_endpoint = host.is_some_and(|host| !host.is_empty() && host.bytes().all(is_host));
    check_form(
        endpoint,
        10..=128,
        is_endpoint,
        "xksProxyUriEndpoint",
        "^https://[a-zA-Z0-9.-]+$",
    )
}

/// `^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$`, 10 to 128 characters.
pub(in crate::simulator) fn check_path(path: &str) -> Result<(), Exception> {
    check_form(
        path,
        10..=128,
        is_path(path),
        "xksProxyUriPath",
        r"^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$",
    )
}

fn is_path(path: &str) -> bool {
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-');
    let Some((prefix, version)) = path.rsplit_once("/kms/xks/v") else {
        return false;
    };
    let has_version = matches!(version.len(), 1 | 2) && is_digits(version);
    let rest = prefix.strip_prefix('/');
    let has_prefix = prefix.is_empty()
        || rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_legal));
    has_version && has_prefix
}

/// `^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$`, 20 to 64 characters.
pub(in crate::simulator) fn check_service_name(name: &str) -> Result<(), Exception> {
    check_form(
        name,
        20..=64,
        is_service_name(name),
        "xksProxyVpcEndpointServiceName",
        r"^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$",
    )
}

fn is_service_name(name: &str) -> bool {
    let parts: Vec<_> = name.split('.').collect();
    let &["com" | "eu", "amazonaws", "vpce", region, service] = parts.as_slice() else {
        return false;
    };
    let is_id = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
    let id = service.strip_prefix("vpce-svc-");
    is_region(region) && id.is_some_and(|id| !id.is_empty() && id.bytes().all(is_id))
}

/// `([a-z]+-){2,3}\d+`.
fn is_region(region: &str) -> bool {
    let parts: Vec<_> = region.split('-').collect();
    let Some((number, words)) = parts.split_last() else {
        return false;
    };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    matches!(words.len(), 2 | 3) && words.iter().all(is_word) && is_digits(number)
}

/// `[0-9]{12}`.
pub(in crate::simulator) fn check_account(account: &str, member: &str) -> Result<(), Exception> {
    check_form(account, 12..=12, is_digits(account), member, "[0-9]{12}")
}

/// `^[a-zA-Z0-9-_.]+$`, 1 to 128 characters.
pub(in crate::simulator) fn check_xks_key_id(id: &str) -> Result<(), Exception> {
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    check_text(id, 1..=128, is_legal, "xksKeyId")
}

/// `^([A-Za-z0-9\-]+)\.([A-Za-z0-9\-]+)(\.[A-Za-z0-9\-]+)+$`, 1 to 128 characters.
pub(in crate::simulator) fn check_service_principal(
    name: &str,
    member: &str,
) -> Result<(), Exception> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_name = name.split('.').count() >= 3 && name.split('.').all(is_label);
    check_form(
        name,
        1..=128,
        is_name,
        member,
        r"^([A-Za-z0-9\-]+)\.([A-Za-z0-9\-]+)(\.[A-Za-z0-9\-]+)+$",
    )
}

/// `^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$`, 20 to 512 characters.
pub(in crate::simulator) fn check_source_arn(arn: &str) -> Result<(), Exception> {
    check_form(
        arn,
        20..=512,
        is_source_arn(arn),
        "constraints.sourceArn",
        "^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$",
    )
}

fn is_source_arn(arn: &str) -> bool {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let &["arn", partition, service, region, account, resource] = parts.as_slice() else {
        return false;
    };
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    partition.starts_with("aws")
        && [partition, service, region].iter().all(|part| part.bytes().all(is_word))
        && !service.is_empty()
        && account.len() == 12
        && is_digits(account)
        // The dot in the pattern does not match a line break.
        && !resource.is_empty()
        && !resource.contains('\n')
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn check_form(
    text: &str,
    lengths: std::ops::RangeInclusive<usize>,
    is_form: bool,
    member: &str,
    pattern: &str,
) -> Result<(), Exception> {
    check_text(text, lengths, |_| true, member)?;
    let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
    check(is_form, member, &constraint)
}

#[cfg(test)]
mod tests;
