//! The verification itself: who signed this request, if anybody did.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use sha2::{Digest, Sha256};
use thiserror::Error;
use time::format_description::FormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::authorization::Authorization;
use super::canonical::{CanonicalError, PathForm, SignedRequest};
use super::credential::{AccessKeyId, Credential, Credentials};
use crate::secret::{Secret, constant_time_eq};

/// How far the caller's clock may be from ours (XKS API, "Authentication").
const MAX_SKEW: Duration = Duration::from_secs(5 * 60);

/// The form of `X-Amz-Date`.
pub(super) const DATE_FORM: &[FormatItem<'static>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// Why a request is not authenticated. For the operator only: to the outside all of these are one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Denied {
    /// There is no `Authorization` header.
    #[error("there is no Authorization header")]
    Unsigned,
    /// A header that may be there once is there more often.
    #[error("the header {0} is there more than once")]
    HeaderRepeated(&'static str),
    /// The `Authorization` header breaks a rule.
    #[error("Authorization is malformed: {0}")]
    Malformed(&'static str),
    /// The credential scope names another region.
    #[error("the credential scope is for another region")]
    RegionMismatch,
    /// The credential scope names another service.
    #[error("the credential scope is for another service")]
    ServiceMismatch,
    /// `host` or `x-amz-date` is not among the signed headers.
    #[error("the header {0} is not signed")]
    HeaderUnsigned(&'static str),
    /// `X-Amz-Date` is not there or not `yyyymmddThhmmssZ`.
    #[error("X-Amz-Date is missing or malformed")]
    DateMalformed,
    /// `X-Amz-Date` and the credential scope name different days.
    #[error("X-Amz-Date and the credential scope name different days")]
    DateMismatch,
    /// The caller's clock, or ours, is wrong; or the request is old.
    #[error("X-Amz-Date is {0} s away from this host's clock")]
    Skewed(u64),
    /// A header is said to be signed but is not there, or is not text.
    #[error("the signed header {0} is missing or not text")]
    HeaderMissing(String),
    /// No credential of this store has this access key id.
    #[error("the access key id is unknown to this key store")]
    AccessKeyUnknown,
    /// The signature is of another request or another secret.
    #[error("the signature does not match")]
    SignatureMismatch,
}

impl Denied {
    /// One word for it, of a bounded set: nothing of the request's is in it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::HeaderRepeated(_) => "header_repeated",
            Self::Malformed(_) => "malformed",
            Self::RegionMismatch => "region",
            Self::ServiceMismatch => "service",
            Self::HeaderUnsigned(_) => "header_unsigned",
            Self::DateMalformed => "date_malformed",
            Self::DateMismatch => "date_mismatch",
            Self::Skewed(_) => "skewed",
            Self::HeaderMissing(_) => "header_missing",
            Self::AccessKeyUnknown => "access_key_unknown",
            Self::SignatureMismatch => "signature",
        }
    }
}

/// For what a signature must have been made.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The AWS region of the key store.
    pub region: &'a str,
    /// The service, `kms-xks-proxy`.
    pub service: &'a str,
}

/// Verifies requests against the credentials of one key store.
#[derive(Clone, Copy, Debug)]
pub struct Verifier<'a> {
    /// Any of them may have signed.
    pub credentials: &'a Credentials,
    /// Region and service.
    pub scope: Scope<'a>,
    /// How the path was made canonical by the signer.
    pub path_form: PathForm,
}

/// Stands in for an unknown access key id, so that such a request costs what any other costs.
static NOBODY: LazyLock<Option<Credential>> = LazyLock::new(|| {
    let id = AccessKeyId::parse("AAAAAAAAAAAAAAAAAAAA").ok()?;
    Some(Credential::unchecked(id, Secret::new("=".repeat(43))))
});

impl<'a> Verifier<'a> {
    /// The credential that signed `request`, judged at the wall-clock time `now`.
    ///
    /// # Errors
    /// [`Denied`]; an unknown access key id takes the same steps as a wrong signature.
    pub fn verify(
        &self,
        request: &SignedRequest<'_>,
        now: SystemTime,
    ) -> Result<&'a Arc<Credential>, Denied> {
        let header = single(request, "authorization")?.ok_or(Denied::Unsigned)?;
        let authorization = Authorization::parse(header).map_err(Denied::Malformed)?;
        self.check_scope(&authorization)?;
        check_signed_headers(authorization.signed_headers)?;
        let date = single(request, "x-amz-date")?.ok_or(Denied::DateMalformed)?;
        let time = check_date(date, authorization.date, now)?;
        let canonical = request
            .canonical(authorization.signed_headers, self.path_form)
            .map_err(denied_canonical)?;
        let known = self.credentials.find(authorization.access_key_id);
        let matches = self.signature_matches(known, &authorization, date, time, &canonical);
        match (known, matches) {
            (None, _) => Err(Denied::AccessKeyUnknown),
            (Some(_), false) => Err(Denied::SignatureMismatch),
            (Some(credential), true) => Ok(credential),
        }
    }

    fn check_scope(&self, authorization: &Authorization<'_>) -> Result<(), Denied> {
        if authorization.service != self.scope.service {
            return Err(Denied::ServiceMismatch);
        }
        match authorization.region == self.scope.region {
            true => Ok(()),
            false => Err(Denied::RegionMismatch),
        }
    }

    fn signature_matches(
        &self,
        known: Option<&Arc<Credential>>,
        authorization: &Authorization<'_>,
        date: &str,
        time: SystemTime,
        canonical: &str,
    ) -> bool {
        let Some(credential) = known.map(AsRef::as_ref).or(NOBODY.as_ref()) else {
            return false;
        };
        let Scope { region, service } = self.scope;
        let key = credential.signing_key(authorization.date, time, region, service);
        let mut string_to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{}\n", authorization.scope);
        crate::hex::push(&mut string_to_sign, &Sha256::digest(canonical));
        let expected =
            aws_sigv4::sign::v4::calculate_signature(key.as_slice(), string_to_sign.as_bytes());
        let mut received = String::with_capacity(64);
        crate::hex::push(&mut received, &authorization.signature);
        constant_time_eq(expected.as_bytes(), received.as_bytes())
    }
}

/// The value of a header that may be there once at most; none when it is absent or not text.
fn single<'a>(request: &SignedRequest<'a>, name: &'static str) -> Result<Option<&'a str>, Denied> {
    let mut values = request.headers.get_all(name).iter();
    let first = values.next().and_then(|value| value.to_str().ok());
    match values.next() {
        Some(_) => Err(Denied::HeaderRepeated(name)),
        None => Ok(first),
    }
}

fn check_signed_headers(list: &str) -> Result<(), Denied> {
    for needed in ["host", "x-amz-date"] {
        if !list.split(';').any(|name| name == needed) {
            return Err(Denied::HeaderUnsigned(needed));
        }
    }
    Ok(())
}

fn check_date(date: &str, scope_date: &str, now: SystemTime) -> Result<SystemTime, Denied> {
    let parsed = PrimitiveDateTime::parse(date, DATE_FORM).map_err(|_| Denied::DateMalformed)?;
    if date.get(..8) != Some(scope_date) {
        return Err(Denied::DateMismatch);
    }
    let skew = (parsed.assume_utc() - OffsetDateTime::from(now)).unsigned_abs();
    match skew <= MAX_SKEW {
        true => Ok(parsed.assume_utc().into()),
        false => Err(Denied::Skewed(skew.as_secs())),
    }
}

/// The time in a verified request's `X-Amz-Date`; none where there is none.
pub fn signed_at(headers: &HeaderMap) -> Option<SystemTime> {
    let date = headers.get("x-amz-date")?.to_str().ok()?;
    let parsed = PrimitiveDateTime::parse(date, DATE_FORM).ok()?;
    Some(parsed.assume_utc().into())
}

fn denied_canonical(error: CanonicalError) -> Denied {
    match error {
        CanonicalError::Missing(name) | CanonicalError::NotText(name) => {
            Denied::HeaderMissing(name)
        }
        CanonicalError::Repeated(name) => Denied::HeaderRepeated(name),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
