//! Valid and invalid signatures (XKS API, section 7): a case can choose every signed part.

use std::fmt;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

use super::request::Request;
use crate::hex;
use crate::secret::Secret;

/// The fields that KMS signs.
const FIELDS: [&str; 3] = ["content-type", "host", "x-amz-date"];

/// The credential, scope and time of a signature. `Debug` does not show the secret.
#[derive(Clone)]
pub struct Signer {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret: Secret,
    /// The region of the credential scope.
    pub region: String,
    /// The service of the credential scope.
    pub service: String,
    /// The last part of the credential scope.
    pub terminator: String,
    /// The time of the signature: `x-amz-date`.
    pub time: SystemTime,
    /// The time whose date is in the credential scope.
    pub scope_time: SystemTime,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("access_key_id", &self.access_key_id)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Returns a signer for the service `kms-xks-proxy` at the current time.
    pub fn new(access_key_id: &str, secret: Secret, region: &str) -> Self {
        let now = SystemTime::now();
        Self {
            access_key_id: access_key_id.to_owned(),
            secret,
            region: region.to_owned(),
            service: "kms-xks-proxy".to_owned(),
            terminator: "aws4_request".to_owned(),
            time: now,
            scope_time: now,
        }
    }

    /// Returns the signer at the current time.
    #[must_use]
    pub fn now(&self) -> Self {
        self.at(SystemTime::now())
    }

    /// Returns the signer this many seconds from the current time.
    #[must_use]
    pub fn shifted(&self, seconds: i64) -> Self {
        let (now, shift) = (
            SystemTime::now(),
            Duration::from_secs(seconds.unsigned_abs()),
        );
        let moved = match seconds < 0 {
            true => now.checked_sub(shift),
            false => now.checked_add(shift),
        };
        self.at(moved.unwrap_or(now))
    }

    fn at(&self, time: SystemTime) -> Self {
        Self {
            time,
            scope_time: time,
            ..self.clone()
        }
    }

    /// Returns the signer with a wrong secret of the same length.
    #[must_use]
    pub fn with_wrong_secret(&self) -> Self {
        let other = |c: char| if c == 'A' { 'B' } else { 'A' };
        let text = self.secret.expose().chars().map(other).collect();
        Self {
            secret: Secret::new(text),
            ..self.clone()
        }
    }

    /// Signs a request as KMS does.
    #[must_use]
    pub fn sign(&self, request: &Request) -> Request {
        self.sign_fields(request, &FIELDS)
    }

    /// Adds `x-amz-date` and a signature over the fields `names`, in this order.
    #[must_use]
    pub fn sign_fields(&self, request: &Request, names: &[&str]) -> Request {
        let request = request.clone().with("x-amz-date", &self.date_time());
        let authorization = self.authorization(&request, names);
        request.with("authorization", &authorization)
    }

    /// Returns the Authorization field over exactly these fields of the request.
    pub fn authorization(&self, request: &Request, names: &[&str]) -> String {
        self.authorization_for_payload(request, names, &hex::encode(&Sha256::digest(&request.body)))
    }

    /// Returns the Authorization field with `payload` as the hash of the body.
    pub fn authorization_for_payload(
        &self,
        request: &Request,
        names: &[&str],
        payload: &str,
    ) -> String {
        let (scope, names) = (self.scope(), names.join(";"));
        let digest = hex::encode(&Sha256::digest(canonical(request, &names, payload)));
        let text = format!(
            "AWS4-HMAC-SHA256\n{}\n{scope}\n{digest}",
            request.value("x-amz-date")
        );
        let key = aws_sigv4::sign::v4::generate_signing_key(
            self.secret.expose(),
            self.scope_time,
            &self.region,
            &self.service,
        );
        let signature = aws_sigv4::sign::v4::calculate_signature(key, text.as_bytes());
        let id = &self.access_key_id;
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }

    fn scope(&self) -> String {
        let day: String = date_time(self.scope_time).chars().take(8).collect();
        format!("{day}/{}/{}/{}", self.region, self.service, self.terminator)
    }

    /// Returns the `x-amz-date` of this signer.
    pub fn date_time(&self) -> String {
        date_time(self.time)
    }
}

/// Returns the canonical request, for paths and queries that need no encoding.
fn canonical(request: &Request, names: &str, payload: &str) -> String {
    let target = request.target.as_str();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let fields: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", all_values(request, name)))
        .collect();
    format!(
        "{}\n{path}\n{query}\n{fields}\n{names}\n{payload}",
        request.method
    )
}

fn all_values(request: &Request, name: &str) -> String {
    let same = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
    let values = request.headers.iter().filter(same);
    let values: Vec<&str> = values.map(|(_, value)| value.trim()).collect();
    values.join(",")
}

/// Every time from 1970 to 9999 has this format.
fn date_time(time: SystemTime) -> String {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    OffsetDateTime::from(time).format(form).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::{Credential, Credentials, PathForm, Scope, SignedRequest, Verifier};

    const ID: &str = "AAAAAAAAAAAAAAAAAAAA";

    fn signer() -> Signer {
        Signer::new(ID, Secret::new("s".repeat(43)), "eu-west-1")
    }

    fn verifies(request: &Request) -> bool {
        let credential = Credential::new(ID, Secret::new("s".repeat(43))).unwrap();
        let credentials = Credentials::new(vec![credential]);
        let scope = Scope {
            region: "eu-west-1",
            service: "kms-xks-proxy",
        };
        let mut headers = http::HeaderMap::new();
        for (name, value) in &request.headers {
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let signed = SignedRequest {
            method: &request.method,
            path: &request.target,
            query: None,
            headers: &headers,
            authority: None,
            body: &request.body,
        };
        let verifier = Verifier {
            credentials: &credentials,
            scope,
            path_form: PathForm::AsSent,
        };
        verifier.verify(&signed, SystemTime::now()).is_ok()
    }

    #[test]
    fn a_signature_verifies_and_a_forged_one_does_not() {
        let request = Request::post("/kms/xks/v1/health", "localhost:1", "{}");
        assert!(verifies(&signer().sign(&request)));
        let region = Signer {
            region: "eu-west-2".to_owned(),
            ..signer()
        };
        for forger in [signer().with_wrong_secret(), region, signer().shifted(-400)] {
            assert!(!verifies(&forger.sign(&request)), "{forger:?}");
        }
        assert!(!verifies(&signer().sign(&request).body("{ }")));
        assert!(!verifies(&signer().sign_fields(&request, &["x-amz-date"])));
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        assert!(!format!("{:?}", signer()).contains("sss"));
    }
}
