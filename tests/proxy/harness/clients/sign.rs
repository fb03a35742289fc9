//! Signatures of requests: by `aws-sigv4`, an independent signer, and by direct computation for invalid requests.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::harness::http::Request;

/// The credential, scope and time of a signature.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret: String,
    /// The region of the credential scope.
    pub region: String,
    /// The service of the credential scope.
    pub service: String,
    /// The time of signing: `x-amz-date`.
    pub time: SystemTime,
    /// The time in the credential scope. A direct computation may use a different one.
    pub scope_time: SystemTime,
    /// The signer whose derived key makes the signature, if it is a different signer: the scope is then false.
    pub key_of: Option<Box<Signer>>,
}

impl Signer {
    /// Returns a signer for the service `kms-xks-proxy` at the current time.
    pub fn new(access_key_id: &str, secret: &str, region: &str) -> Self {
        let now = SystemTime::now();
        Self {
            access_key_id: access_key_id.into(),
            secret: secret.into(),
            region: region.into(),
            service: "kms-xks-proxy".into(),
            time: now,
            scope_time: now,
            key_of: None,
        }
    }

    /// Returns the signer `minutes` later, or earlier.
    pub fn shifted(&self, minutes: i64) -> Self {
        let shift = Duration::from_secs(minutes.unsigned_abs() * 60);
        let time = if minutes < 0 {
            self.time - shift
        } else {
            self.time + shift
        };
        Self {
            time,
            scope_time: time,
            ..self.clone()
        }
    }

    /// Signs the request with `aws-sigv4`, including all fields.
    pub fn sign(&self, request: &Request) -> Request {
        let identity =
            Credentials::new(&self.access_key_id, &self.secret, None, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(self.time)
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let uri = format!("https://{}{}", request.value("host"), request.target);
        let fields = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let body = SignableBody::Bytes(&request.body);
        let signable = SignableRequest::new(&request.method, uri, fields, body).unwrap();
        let (instructions, _) = sign(signable, &params.into()).unwrap().into_parts();
        let added = instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut signed = request.clone();
        signed.headers.extend(added);
        signed
    }

    /// Adds an `x-amz-date` and a directly computed signature over the fields `names`.
    pub fn sign_fields(&self, request: &Request, names: &[&str]) -> Request {
        let request = request.clone().with("x-amz-date", &self.date_time());
        let authorization = self.authorization(&request, names);
        request.with("authorization", &authorization)
    }

    /// Returns an Authorization header over exactly these fields of the request.
    pub fn authorization(&self, request: &Request, names: &[&str]) -> String {
        let payload = hexadecimal(&Sha256::digest(&request.body));
        self.authorization_of(&canonical_request(request, names, &payload), names)
    }

    /// Returns an Authorization header over this canonical request.
    pub fn authorization_of(&self, canonical: &str, names: &[&str]) -> String {
        let scope = format!(
            "{}/{}/{}/aws4_request",
            self.date(),
            self.region,
            self.service
        );
        let digest = hexadecimal(&Sha256::digest(canonical));
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{digest}", self.date_time());
        let own = self.key_of.as_deref().unwrap_or(self);
        let key = v4::generate_signing_key(&own.secret, own.scope_time, &own.region, &own.service);
        let signature = v4::calculate_signature(key, text.as_bytes());
        let (id, names) = (&self.access_key_id, names.join(";"));
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }

    /// Returns the `x-amz-date` of this signer.
    pub fn date_time(&self) -> String {
        date_time(self.time)
    }

    /// Returns the date of the credential scope.
    pub fn date(&self) -> String {
        date_time(self.scope_time).chars().take(8).collect()
    }
}

/// Returns the canonical request of SigV4 over these fields, for paths that need no encoding.
pub fn canonical_request(request: &Request, names: &[&str], payload: &str) -> String {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let fields: String = names
        .iter()
        .map(|name| format!("{name}:{}\n", all_values(request, name)))
        .collect();
    format!(
        "{}\n{path}\n{query}\n{fields}\n{}\n{payload}",
        request.method,
        names.join(";")
    )
}

/// Returns lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn all_values(request: &Request, name: &str) -> String {
    let same = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
    let values: Vec<&str> = request
        .headers
        .iter()
        .filter(same)
        .map(|(_, value)| value.trim())
        .collect();
    values.join(",")
}

fn date_time(time: SystemTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    OffsetDateTime::from(time).format(format).unwrap()
}
