//! Verifies the signature of a request and finds the credential that signed it.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use thiserror::Error;
use time::format_description::FormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::authorization::Authorization;
use super::canonical::{CanonicalError, PathForm, SignedRequest};
use super::credential::{AccessKeyId, Credential, Credentials};
use crate::secret::{Secret, constant_time_eq};

/// The maximum difference between `X-Amz-Date` and this host's clock (XKS API, "Authentication").
const MAX_SKEW: Duration = Duration::from_secs(5 * 60);

/// The format of `X-Amz-Date`.
pub(super) const DATE_FORM: &[FormatItem<'static>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// The reason why a request is not authenticated. It is for the operator only: the response is the same for all reasons.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Denied {
    /// The `Authorization` header is missing.
    #[error("the Authorization header is missing")]
    Unsigned,
    /// A header field that may occur once is repeated.
    #[error("the header {0} occurs more than once")]
    HeaderRepeated(&'static str),
    /// The `Authorization` header is malformed.
    #[error("Authorization is malformed: {0}")]
    Malformed(&'static str),
    /// The credential scope has another Region.
    #[error("the credential scope is for another region")]
    RegionMismatch,
    /// The credential scope has another service.
    #[error("the credential scope is for another service")]
    ServiceMismatch,
    /// `host` or `x-amz-date` is not a signed header.
    #[error("the header {0} is not signed")]
    HeaderUnsigned(&'static str),
    /// `X-Amz-Date` is missing or does not have the form `yyyymmddThhmmssZ`.
    #[error("X-Amz-Date is missing or malformed")]
    DateMalformed,
    /// `X-Amz-Date` and the credential scope have different days.
    #[error("X-Amz-Date and the credential scope have different days")]
    DateMismatch,
    /// The clock of the client or of this host is wrong, or the request is old.
    #[error("X-Amz-Date is {0} s away from this host's clock")]
    Skewed(u64),
    /// A signed header field is missing, or is not text.
    #[error("the signed header {0} is missing or not text")]
    HeaderMissing(String),
    /// No credential of the key store has this access key id.
    #[error("the access key id is unknown to this key store")]
    AccessKeyUnknown,
    /// The signature is that of another request or of another secret.
    #[error("the signature does not match")]
    SignatureMismatch,
}

impl Denied {
    /// Returns the reason as one of a fixed set of words, for metrics. It contains no text of the request.
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

/// The Region and the service for which a request must be signed.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The AWS Region of the key store.
    pub region: &'a str,
    /// The service, `kms-xks-proxy`.
    pub service: &'a str,
}

/// Verifies requests against the credentials of one key store.
#[derive(Clone, Copy, Debug)]
pub struct Verifier<'a> {
    /// The accepted credentials.
    pub credentials: &'a Credentials,
    /// The required Region and service.
    pub scope: Scope<'a>,
    /// The form of the path in the signer's canonical request.
    pub path_form: PathForm,
}

/// A verified signature.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a> {
    /// The credential that signed the request.
    pub credential: &'a Arc<Credential>,
    /// The time in `X-Amz-Date`, in whole seconds.
    pub signed_at: SystemTime,
}

/// The credential that is used for an unknown access key id, so that such a request costs as much as any other.
static DUMMY: LazyLock<Option<Credential>> = LazyLock::new(|| {
    let id = AccessKeyId::parse("AAAAAAAAAAAAAAAAAAAA").ok()?;
    Some(Credential::unchecked(id, Secret::new("=".repeat(43))))
});

impl<'a> Verifier<'a> {
    /// Verifies `request` at the wall-clock time `now`, and returns the credential and the time of the signature.
    ///
    /// # Errors
    /// [`Denied`]. For an unknown access key id, the same steps are done as for a wrong signature.
    pub fn verify(
        &self,
        request: &SignedRequest<'_>,
        now: SystemTime,
    ) -> Result<Verified<'a>, Denied> {
        let header = single(request, "authorization")?.ok_or(Denied::Unsigned)?;
        let authorization = Authorization::parse(header).map_err(Denied::Malformed)?;
        self.check_scope(&authorization)?;
        check_signed_headers(authorization.signed_headers)?;
        let date = single(request, "x-amz-date")?.ok_or(Denied::DateMalformed)?;
        let signed_at = check_date(date, authorization.date, now)?;
        let canonical = request
            .canonical(authorization.signed_headers, self.path_form)
            .map_err(denied_canonical)?;
        let known = self.credentials.find(authorization.access_key_id);
        let matches = self.signature_matches(known, &authorization, date, signed_at, &canonical);
        match (known, matches) {
            (None, _) => Err(Denied::AccessKeyUnknown),
            (Some(_), false) => Err(Denied::SignatureMismatch),
            (Some(credential), true) => Ok(Verified {
                credential,
                signed_at,
            }),
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
        let Some(credential) = known.map(AsRef::as_ref).or(DUMMY.as_ref()) else {
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

/// Returns the value of a header field that may occur at most once; `None` when it is missing or not text.
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
