//! The known values of the fields of a request. A comparison with any other value has no effect.

use std::ops::RangeInclusive;

use crate::connections::ClientCertificate;
use crate::partitions::{has_partition_form, service_name};
use crate::policy::roles::is_account;

/// The KMS operations that use an external key (XKS API, "requestMetadata"). KMS may add operations.
pub(super) const OPERATIONS: [&str; 7] = [
    "CreateKey",
    "DescribeKey",
    "Encrypt",
    "Decrypt",
    "ReEncrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
];

/// Returns whether this is the name of a result of client authentication.
pub(super) fn is_client_certificate(name: &str) -> bool {
    ClientCertificate::from_name(name).is_some()
}

/// Returns the names of all results of client authentication, for a message.
pub(super) fn client_certificates() -> String {
    ClientCertificate::ALL
        .map(ClientCertificate::as_str)
        .join(", ")
}

/// Returns the possible values of a numeric attribute. None when its range is not known.
pub(super) fn range(attribute: (&str, &str)) -> Option<RangeInclusive<i64>> {
    match attribute {
        ("context", "hour") => Some(0..=23),
        ("context", "weekday") => Some(1..=7),
        _ => None,
    }
}

/// Returns why no VPC or VPC endpoint can have this id, as text that follows a comma. None when one can have it.
pub(super) fn vpc_problem(prefix: &str, id: &str) -> Option<String> {
    let is_number =
        |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    match id.strip_prefix(prefix) {
        Some(rest) if is_number(rest) => None,
        _ => Some(format!(
            "which has the form {prefix:?} and digits; == compares the whole id"
        )),
    }
}

/// Returns why no KMS key can have this ARN, as text that follows a comma. None when one can have it.
pub(super) fn key_arn_problem(arn: &str) -> Option<&'static str> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "kms", region, account, resource] = *fields.as_slice() else {
        return Some("which has the form \"arn:aws:kms:eu-west-1:111122223333:key/…\"");
    };
    let has_wildcard = [partition, region, account, resource]
        .concat()
        .contains('*');
    match resource.strip_prefix("key/") {
        _ if !has_wildcard && !has_partition_form(partition) => {
            Some("which has a partition that AWS cannot have; it is aws, or aws- and letters")
        }
        _ if has_wildcard => Some("but == compares the whole ARN: * is not a wildcard; use like"),
        Some(id) if is_account(account) && !id.is_empty() => None,
        _ => Some("which has an account id of twelve digits, and then key/ and the id of the key"),
    }
}

/// Returns the value of `kmsViaService` in the context when KMS sends this text. None when the value is the text itself.
pub(super) fn shorter_service(text: &str) -> Option<&str> {
    let name = service_name(text);
    (name != text).then_some(name)
}
