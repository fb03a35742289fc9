//! Who calls KMS: account, Region and principal, by the signature of the request.
//!
//! # Invariants
//! - With credentials configured nothing is done for a request whose signature does not verify.
//! - A Region is a short word of lower-case letters, digits and dashes: it becomes a part of file names.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use http::request::Parts;

use crate::sigv4::{Denied, PathForm, Scope, SignedRequest, Verifier};
use crate::simulator::callers::caller::Caller;
use crate::simulator::callers::credentials::KmsCredentials;
use crate::simulator::callers::principals::Facts;
use crate::simulator::cloudwatch::Protocol;
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::wire::names::{account_of, root_arn};
use crate::simulator::world::World;

/// The services of credential scopes.
const SERVICE: &str = "kms";
const CLOUDWATCH: &str = "monitoring";

/// The account of who does not say.
const NO_ACCOUNT: &str = "000000000000";

/// The Region of who does not say.
const NO_REGION: &str = "us-east-1";

/// The address that a request came from.
pub(in crate::simulator) fn source(head: &Parts) -> Option<IpAddr> {
    let peer = head.extensions.get::<SocketAddr>();
    peer.map(SocketAddr::ip)
}

/// Who has sent this request.
pub(in crate::simulator) fn identify(
    world: &World,
    head: &Parts,
    body: &[u8],
) -> Result<Caller, Exception> {
    let header = head
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let (id, region) = header.and_then(scope_of).unwrap_or(("", NO_REGION));
    let is_region = (3..=32).contains(&region.len())
        && region
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !is_region {
        return Err(incomplete("the credential scope names no Region"));
    }
    match &world.credentials {
        None => Ok(anybody(id, region)),
        Some(callers) => {
            let principal = verified(callers, id, region, head, body)?;
            let facts = facts(world, id)?;
            let source_account = facts
                .given
                .source_arn()
                .and_then(|arn| arn.split(':').nth(4));
            let account = account_of(principal)
                .or(source_account)
                .unwrap_or(NO_ACCOUNT);
            Ok(Caller {
                account: account.to_owned(),
                region: region.to_owned(),
                principal: principal.to_owned(),
                is_named: true,
                facts: Facts {
                    source: source(head),
                    ..facts
                },
            })
        }
    }
}

fn facts(world: &World, id: &str) -> Result<Facts, Exception> {
    match &world.principals {
        None => Ok(Facts::default()),
        Some(principals) => principals
            .facts(id)
            .ok_or_else(|| refusal(&Denied::AccessKeyUnknown)),
    }
}

/// The principal whose signature this is.
fn verified<'c>(
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
            service: match Protocol::of(head) {
                None => SERVICE,
                Some(_) => CLOUDWATCH,
            },
        },
        path_form: PathForm::Normalized,
    };
    let signed = verifier.verify(&request, SystemTime::now());
    signed.map_err(|denied| refusal(&denied))?;
    Ok(callers.principal(id).unwrap_or_default())
}

/// Without credentials an access key id that could be an account is one, as in other local emulators.
fn anybody(id: &str, region: &str) -> Caller {
    let is_account = id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
    let account = if is_account { id } else { NO_ACCOUNT };
    Caller {
        account: account.to_owned(),
        region: region.to_owned(),
        principal: root_arn(region, account),
        is_named: false,
        facts: Facts::default(),
    }
}

/// Access key id and Region of an Authorization header's `Credential=ID/DATE/REGION/SERVICE/aws4_request`.
fn scope_of(header: &str) -> Option<(&str, &str)> {
    let (_, credential) = header.split_once("Credential=")?;
    let credential = credential.split([',', ' ']).next()?;
    let mut parts = credential.split('/');
    let id = parts.next()?;
    Some((id, parts.nth(1)?))
}

fn refusal(denied: &Denied) -> Exception {
    match denied {
        Denied::Unsigned => Kind::MissingAuthenticationToken.because("Missing Authentication Token"),
        Denied::AccessKeyUnknown => Kind::UnrecognizedClient
            .because("The security token included in the request is invalid."),
        Denied::HeaderRepeated(_)
        | Denied::Malformed(_)
        | Denied::HeaderUnsigned(_)
        | Denied::DateMalformed
        | Denied::HeaderMissing(_) => incomplete(&denied.to_string()),
        Denied::RegionMismatch
        | Denied::ServiceMismatch
        | Denied::DateMismatch
        | Denied::Skewed(_)
        | Denied::SignatureMismatch => Kind::InvalidSignature.because(format!(
            "The request signature we calculated does not match the signature you provided, or cannot: {denied}."
        )),
    }
}

fn incomplete(why: &str) -> Exception {
    Kind::IncompleteSignature.because(format!("The signature is incomplete: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read() {
        let header = "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/kms/aws4_request, SignedHeaders=host, Signature=00";
        assert_eq!(scope_of(header), Some(("AKID", "eu-west-1")));
        for bad in ["", "Basic x", "AWS4-HMAC-SHA256 Credential=AKID"] {
            assert_eq!(scope_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn without_credentials_an_account_is_who_says_so() {
        let one = anybody("111122223333", "eu-west-1");
        assert_eq!(
            (one.account.as_str(), one.is_named),
            ("111122223333", false)
        );
        assert_eq!(one.principal, "arn:aws:iam::111122223333:root");
        assert_eq!(anybody("AKIA", "eu-west-1").account, NO_ACCOUNT);
    }

    #[test]
    fn refusals_are_those_of_aws() {
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
            assert_eq!(refusal(&denied).kind.name(), name);
        }
    }
}
