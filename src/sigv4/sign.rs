//! Signs requests as KMS does: the header fields `content-type`, `host` and `x-amz-date`, over exactly the bytes that are sent.

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::canonical::{PathForm, SignedRequest};
use super::credential::Credential;
use super::verify::DATE_FORM;

/// The header fields that KMS signs.
const SIGNED_HEADERS: &str = "content-type;host;x-amz-date";

/// Signs requests for one service and Region. The derived key of the day is cached.
#[derive(Debug)]
pub struct Signer {
    credential: Credential,
    region: String,
    service: &'static str,
}

impl Signer {
    /// Creates a signer for this service and Region.
    pub fn new(credential: Credential, region: &str, service: &'static str) -> Self {
        let region = region.to_owned();
        Self {
            credential,
            region,
            service,
        }
    }

    /// Returns the Region of the credential scope.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Returns the header fields of a POST request with a JSON body, signed at `time`. `None` when `authority` is not a valid header value.
    pub fn headers(
        &self,
        authority: &str,
        path: &str,
        body: &[u8],
        time: SystemTime,
    ) -> Option<HeaderMap> {
        // Every time from 1970 to 9999 can be formatted.
        let date_time = OffsetDateTime::from(time).format(DATE_FORM).ok()?;
        let mut headers = HeaderMap::with_capacity(5);
        headers.insert("host", HeaderValue::from_str(authority).ok()?);
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("x-amz-date", HeaderValue::from_str(&date_time).ok()?);
        let request = SignedRequest {
            method: "POST",
            path,
            query: None,
            headers: &headers,
            authority: None,
            body,
        };
        let canonical = request
            .canonical(SIGNED_HEADERS, PathForm::Normalized)
            .ok()?;
        let authorization = self.authorization(&canonical, &date_time, time)?;
        headers.insert("authorization", HeaderValue::from_str(&authorization).ok()?);
        Some(headers)
    }

    fn authorization(&self, canonical: &str, date_time: &str, time: SystemTime) -> Option<String> {
        let (region, service) = (self.region.as_str(), self.service);
        let day = date_time.get(..8)?;
        let scope = format!("{day}/{region}/{service}/aws4_request");
        let mut text = format!("AWS4-HMAC-SHA256\n{date_time}\n{scope}\n");
        crate::hex::push(&mut text, &Sha256::digest(canonical));
        let key = self.credential.signing_key(day, time, region, service);
        let signature = aws_sigv4::sign::v4::calculate_signature(&**key, text.as_bytes());
        let id = self.credential.id().as_str();
        Some(format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={SIGNED_HEADERS}, Signature={signature}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::sigv4::{Credentials, Scope, Verifier};

    const ID: &str = "AAAAAAAAAAAAAAAAAAAA";

    fn credential(letter: &str) -> Credential {
        Credential::new(ID, Secret::new(letter.repeat(43))).unwrap()
    }

    fn verifies(signer: &Signer, body: &[u8], sent: &[u8]) -> bool {
        let (path, now) = ("/a/kms/xks/v1/health", SystemTime::now());
        let headers = signer.headers("localhost:8443", path, body, now).unwrap();
        let request = SignedRequest {
            method: "POST",
            path,
            query: None,
            headers: &headers,
            authority: None,
            body: sent,
        };
        let credentials = Credentials::new(vec![credential("s")]);
        let scope = Scope {
            region: "eu-west-1",
            service: "kms-xks-proxy",
        };
        let path_form = PathForm::Normalized;
        let verifier = Verifier {
            credentials: &credentials,
            scope,
            path_form,
        };
        verifier.verify(&request, now).is_ok()
    }

    #[test]
    fn the_verifier_accepts_exactly_the_signed_request() {
        let signer = |letter, region| Signer::new(credential(letter), region, "kms-xks-proxy");
        assert!(verifies(&signer("s", "eu-west-1"), b"{}", b"{}"));
        assert!(!verifies(&signer("s", "eu-west-1"), b"{}", b"{ }"));
        assert!(!verifies(&signer("t", "eu-west-1"), b"{}", b"{}"));
        assert!(!verifies(&signer("s", "eu-west-2"), b"{}", b"{}"));
    }

    #[test]
    fn an_authority_that_is_not_a_header_value_is_not_signed() {
        let signer = Signer::new(credential("s"), "r", "s");
        assert!(
            signer
                .headers("a\nb", "/", b"", SystemTime::now())
                .is_none()
        );
    }
}
