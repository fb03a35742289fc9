//! Authenticates a request: its signature identifies the account, the Region and the principal of the caller.
//!
//! # Invariants
//! - If credentials are configured, a request without a valid signature has no effect.
//! - A Region has 3 to 32 lower-case letters, digits and dashes, because it becomes part of file names.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use http::request::Parts;

use crate::sigv4::{Denied, PathForm, Scope, SignedRequest, Verifier};
use crate::simulator::callers::caller::KmsCaller;
use crate::simulator::callers::credentials::KmsCredentials;
use crate::simulator::callers::principals::CallerProperties;
use crate::simulator::cloudwatch::CloudWatchProtocol;
use crate::simulator::kms::Kms;
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::simulator::wire::names::{account_of, root_arn};

/// The services of credential scopes.
const SERVICE: &str = "kms";
const CLOUDWATCH: &str = "monitoring";

/// The account of a caller without credentials whose access key id is not an account.
const NO_ACCOUNT: &str = "000000000000";

/// The Region of a request without a credential scope.
const NO_REGION: &str = "us-east-1";

/// Returns the source address of a request.
pub(in crate::simulator) fn source(head: &Parts) -> Option<IpAddr> {
    let peer = head.extensions.get::<SocketAddr>();
    peer.map(SocketAddr::ip)
}

/// Returns the caller of a request.
pub(in crate::simulator) fn identify(
    kms: &Kms,
    head: &Parts,
    body: &[u8],
) -> Result<KmsCaller, Exception> {
    let header = head
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let (id, region) = header.and_then(credential_scope).unwrap_or(("", NO_REGION));
    let is_region = (3..=32).contains(&region.len())
        && region
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !is_region {
        return Err(incomplete("the credential scope has no Region"));
    }
    match &kms.credentials {
        None => Ok(unauthenticated(id, region)),
        Some(callers) => {
            let principal = verify_signature(callers, id, region, head, body)?;
            let properties = properties(kms, id)?;
            let source_account = properties
                .configured
                .source_arn()
                .and_then(|arn| arn.split(':').nth(4));
            let account = account_of(principal)
                .or(source_account)
                .unwrap_or(NO_ACCOUNT);
            Ok(KmsCaller {
                account: account.to_owned(),
                region: region.to_owned(),
                principal: principal.to_owned(),
                is_authenticated: true,
                properties: CallerProperties {
                    source: source(head),
                    ..properties
                },
            })
        }
    }
}

fn properties(kms: &Kms, id: &str) -> Result<CallerProperties, Exception> {
    match &kms.principals {
        None => Ok(CallerProperties::default()),
        Some(principals) => principals
            .properties(id)
            .ok_or_else(|| exception(&Denied::AccessKeyUnknown)),
    }
}

/// Verifies the signature and returns the principal that signed.
fn verify_signature<'c>(
    callers: &'c KmsCredentials,
    id: &str,
    region: &str,
    head: &Parts,
    body: &[u8],
) -> Result<&'c str, Exception> {
    let request = SignedRequest {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query(),
        headers: &head.headers,
        authority: None,
        body,
    };
    let verifier = Verifier {
        credentials: callers.credentials(),
        scope: Scope {
            region,
            service: match CloudWatchProtocol::of(head) {
                None => SERVICE,
                Some(_) => CLOUDWATCH,
            },
        },
        path_form: PathForm::Normalized,
    };
    let signed = verifier.verify(&request, SystemTime::now());
    signed.map_err(|denied| exception(&denied))?;
    Ok(callers.principal(id).unwrap_or_default())
}

/// Returns the caller when no credentials are configured. An access key id of 12 digits is the account, as in other local emulators.
fn unauthenticated(id: &str, region: &str) -> KmsCaller {
    let is_account = id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
    let account = if is_account { id } else { NO_ACCOUNT };
    KmsCaller {
        account: account.to_owned(),
        region: region.to_owned(),
        principal: root_arn(region, account),
        is_authenticated: false,
        properties: CallerProperties::default(),
    }
}

/// Returns the access key id and the Region in `Credential=ID/DATE/REGION/SERVICE/aws4_request` of an Authorization header.
fn credential_scope(header: &str) -> Option<(&str, &str)> {
    let (_, credential) = header.split_once("Credential=")?;
    let credential = credential.split([',', ' ']).next()?;
    let mut parts = credential.split('/');
    let id = parts.next()?;
    Some((id, parts.nth(1)?))
}

fn exception(denied: &Denied) -> Exception {
    match denied {
        Denied::Unsigned => ExceptionKind::MissingAuthenticationToken.with_message("Missing Authentication Token"),
        Denied::AccessKeyUnknown => ExceptionKind::UnrecognizedClient
            .with_message("The security token included in the request is invalid."),
        Denied::HeaderRepeated(_)
        | Denied::Malformed(_)
        | Denied::HeaderUnsigned(_)
        | Denied::DateMalformed
        | Denied::HeaderMissing(_) => incomplete(&denied.to_string()),
        Denied::RegionMismatch
        | Denied::ServiceMismatch
        | Denied::DateMismatch
        | Denied::Skewed(_)
        | Denied::SignatureMismatch => ExceptionKind::InvalidSignature.with_message(format!(
            "The request signature we calculated does not match the signature you provided, or cannot: {denied}."
        )),
    }
}

fn incomplete(reason: &str) -> Exception {
    ExceptionKind::IncompleteSignature
        .with_message(format!("The signature is incomplete: {reason}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credential_scopes_are_parsed() {
        let header = "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/kms/aws4_request, SignedHeaders=host, Signature=00";
        assert_eq!(credential_scope(header), Some(("AKID", "eu-west-1")));
        for bad in ["", "Basic x", "AWS4-HMAC-SHA256 Credential=AKID"] {
            assert_eq!(credential_scope(bad), None, "{bad}");
        }
    }

    #[test]
    fn without_credentials_the_access_key_id_is_the_account() {
        let one = unauthenticated("111122223333", "eu-west-1");
        assert_eq!(
            (one.account.as_str(), one.is_authenticated),
            ("111122223333", false)
        );
        assert_eq!(one.principal, "arn:aws:iam::111122223333:root");
        assert_eq!(unauthenticated("AKIA", "eu-west-1").account, NO_ACCOUNT);
    }

    #[test]
    fn authentication_errors_are_those_of_aws() {
        for (denied, name) in [
            (Denied::Unsigned, "MissingAuthenticationTokenException"),
            (Denied::AccessKeyUnknown, "UnrecognizedClientException"),
            (Denied::SignatureMismatch, "InvalidSignatureException"),
            (Denied::Skewed(900), "InvalidSignatureException"),
            (Denied::ServiceMismatch, "InvalidSignatureException"),
            (Denied::Malformed("x"), "IncompleteSignatureException"),
            (
                Denied::HeaderUnsigned("host"),
                "IncompleteSignatureException",
            ),
        ] {
            assert_eq!(exception(&denied).kind.name(), name);
        }
    }
}
