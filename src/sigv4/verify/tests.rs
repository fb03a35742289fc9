//! Verification of requests that an independent signer has signed (the `aws-sigv4` crate).

use aws_credential_types::Credentials as AwsCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const ID: &str = "XKSTESTCREDENTIALAAAAA";
const SECRET: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG+/=";
const PATH: &str = "/p/kms/xks/v1/keys/k/encrypt";
const BODY: &[u8] = br#"{"plaintext":"AA=="}"#;
const SCOPE: Scope<'static> = Scope {
    region: "eu-west-1",
    service: "kms-xks-proxy",
};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

pub(super) fn credentials(pairs: &[(&str, &str)]) -> Credentials {
    let credential = |(id, secret): &(&str, &str)| Credential::unchecked_for_tests(id, secret);
    Credentials::new(pairs.iter().map(credential).collect())
}

impl Credential {
    fn unchecked_for_tests(id: &str, secret: &str) -> Self {
        let id = AccessKeyId::unchecked(id);
        Self::unchecked(id, Secret::new(secret.to_owned()))
    }
}

/// A signed request of which a test can change every part.
pub(super) struct Signed {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub path: String,
    pub query: Option<String>,
    pub method: String,
}

/// Signs a request with AWS's own crate.
fn signed_at(time: SystemTime, id: &str, secret: &str, scope: Scope<'_>) -> Signed {
    let identity = AwsCredentials::from_keys(id, secret, None).into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .unwrap();
    let uri = format!("https://localhost{PATH}");
    let plain = [("host", "localhost"), ("content-type", "application/json")];
    let request =
        SignableRequest::new("POST", uri, plain.into_iter(), SignableBody::Bytes(BODY)).unwrap();
    let (instructions, _) = sign(request, &params.into()).unwrap().into_parts();
    let mut headers = HeaderMap::new();
    for (name, value) in plain.into_iter().chain(instructions.headers()) {
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    Signed {
        headers,
        body: BODY.to_vec(),
        path: PATH.into(),
        query: None,
        method: "POST".into(),
    }
}

fn signed() -> Signed {
    signed_at(now(), ID, SECRET, SCOPE)
}

impl Signed {
    fn outcome_with(&self, credentials: &Credentials) -> Result<String, Denied> {
        let verifier = Verifier {
            credentials,
            scope: SCOPE,
            path_form: PathForm::Normalized,
        };
        let request = SignedRequest {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
            authority: None,
            body: &self.body,
        };
        verifier
            .verify(&request, now())
            .map(|verified| verified.credential.id().as_str().to_owned())
    }

    fn outcome(&self) -> Result<String, Denied> {
        self.outcome_with(&credentials(&[("OTHER", "x"), (ID, SECRET)]))
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.headers
            .insert(name, HeaderValue::from_str(value).unwrap());
    }

    fn authorization(&self) -> String {
        self.headers["authorization"].to_str().unwrap().to_owned()
    }
}

#[test]
fn a_request_signed_by_aws_verifies() {
    assert_eq!(signed().outcome(), Ok(ID.to_owned()));
    assert_eq!(
        signed().outcome(),
        Ok(ID.to_owned()),
        "with the cached derived key"
    );
}

#[test]
fn a_change_of_any_signed_part_is_found() {
    let mut request = signed();
    request.body.push(b' ');
    assert_eq!(request.outcome(), Err(Denied::SignatureMismatch));
    let mut request = signed();
    request.path = "/q/kms/xks/v1/keys/k/encrypt".into();
    assert_eq!(request.outcome(), Err(Denied::SignatureMismatch));
    let mut request = signed();
    request.query = Some("a=b".into());
    assert_eq!(request.outcome(), Err(Denied::SignatureMismatch));
    let mut request = signed();
    request.method = "PUT".into();
    assert_eq!(request.outcome(), Err(Denied::SignatureMismatch));
    let mut request = signed();
    request.set("content-type", "text/html");
    assert_eq!(request.outcome(), Err(Denied::SignatureMismatch));
    let mut request = signed();
    request.set("host", "elsewhere");
    assert_eq!(request.outcome(), Err(Denied::SignatureMismatch));
    let mut request = signed();
    request.set("x-other", "unsigned headers are allowed");
    assert!(request.outcome().is_ok());
}

#[test]
fn any_flipped_digit_of_the_signature_is_found() {
    let header = signed().authorization();
    let start = header.len() - 64;
    for position in start..header.len() {
        let mut bytes = header.clone().into_bytes();
        bytes[position] = if bytes[position] == b'0' { b'1' } else { b'0' };
        let mut request = signed();
        request.set("authorization", &String::from_utf8(bytes).unwrap());
        assert_eq!(request.outcome(), Err(Denied::SignatureMismatch));
    }
}

#[test]
fn wrong_credentials_are_rejected() {
    assert_eq!(
        signed_at(now(), ID, "wrong", SCOPE).outcome(),
        Err(Denied::SignatureMismatch)
    );
    assert_eq!(
        signed_at(now(), "NOBODY", SECRET, SCOPE).outcome(),
        Err(Denied::AccessKeyUnknown)
    );
    assert_eq!(
        signed().outcome_with(&Credentials::default()),
        Err(Denied::AccessKeyUnknown)
    );
    let dummy = "AAAAAAAAAAAAAAAAAAAA";
    let guessed = signed_at(now(), dummy, &"=".repeat(43), SCOPE);
    assert_eq!(
        guessed.outcome(),
        Err(Denied::AccessKeyUnknown),
        "the dummy credential is not accepted"
    );
}

#[test]
fn a_wrong_scope_is_rejected() {
    let region = Scope {
        region: "us-east-1",
        ..SCOPE
    };
    assert_eq!(
        signed_at(now(), ID, SECRET, region).outcome(),
        Err(Denied::RegionMismatch)
    );
    let service = Scope {
        service: "kms",
        ..SCOPE
    };
    assert_eq!(
        signed_at(now(), ID, SECRET, service).outcome(),
        Err(Denied::ServiceMismatch)
    );
}

#[test]
fn a_clock_skew_of_more_than_five_minutes_is_rejected() {
    for (offset, is_accepted) in [
        (0, true),
        (240, true),
        (300, true),
        (301, false),
        (360, false),
    ] {
        for time in [
            now() + Duration::from_secs(offset),
            now() - Duration::from_secs(offset),
        ] {
            let outcome = signed_at(time, ID, SECRET, SCOPE).outcome();
            assert_eq!(outcome.is_ok(), is_accepted, "{offset}");
            if !is_accepted {
                assert_eq!(outcome, Err(Denied::Skewed(offset)));
            }
        }
    }
}

#[test]
fn the_date_must_be_the_day_of_the_scope() {
    let mut request = signed();
    let other_day = request.authorization().replace("/20260921/", "/20260920/");
    assert_ne!(other_day, request.authorization());
    request.set("authorization", &other_day);
    assert_eq!(request.outcome(), Err(Denied::DateMismatch));
    for bad in [
        "",
        "20260921",
        "Mon, 21 Sep 2026",
        "20260921T999999Z",
        "20260921T000000+",
        "99999999T000000Z",
    ] {
        let mut request = signed();
        request.set("x-amz-date", bad);
        assert_eq!(request.outcome(), Err(Denied::DateMalformed), "{bad}");
    }
}

#[test]
fn signed_headers_are_checked() {
    let with_list = |list: &str| {
        let mut request = signed();
        let header = request.authorization();
        let start = header.find("SignedHeaders=").unwrap() + 14;
        let end = header.find(", Signature=").unwrap();
        request.set(
            "authorization",
            &format!("{}{list}{}", &header[..start], &header[end..]),
        );
        request.outcome()
    };
    assert_eq!(with_list("x-amz-date"), Err(Denied::HeaderUnsigned("host")));
    assert_eq!(with_list("host"), Err(Denied::HeaderUnsigned("x-amz-date")));
    assert_eq!(
        with_list("content-type;host;nope;x-amz-date"),
        Err(Denied::HeaderMissing("nope".into()))
    );
    assert_eq!(with_list("host;x-amz-date"), Err(Denied::SignatureMismatch));
    assert!(matches!(
        with_list("x-amz-date;host"),
        Err(Denied::Malformed(_))
    ));
}

#[test]
fn repeated_headers_are_rejected() {
    for name in ["authorization", "x-amz-date", "host"] {
        let mut request = signed();
        let value = request.headers[name].clone();
        request.headers.append(name, value);
        assert_eq!(request.outcome(), Err(Denied::HeaderRepeated(name)));
    }
    let mut request = signed();
    request.headers.remove("authorization");
    assert_eq!(request.outcome(), Err(Denied::Unsigned));
}

#[test]
fn the_authority_of_http_2_replaces_host() {
    let mut request = signed();
    request.headers.remove("host");
    let credentials = credentials(&[(ID, SECRET)]);
    let verifier = Verifier {
        credentials: &credentials,
        scope: SCOPE,
        path_form: PathForm::Normalized,
    };
    let outcome = |authority| {
        let request = SignedRequest {
            method: "POST",
            path: PATH,
            query: None,
            headers: &request.headers,
            authority,
            body: BODY,
        };
        verifier.verify(&request, now()).map(drop)
    };
    assert_eq!(outcome(Some("localhost")), Ok(()));
    assert_eq!(outcome(Some("elsewhere")), Err(Denied::SignatureMismatch));
    assert_eq!(outcome(None), Err(Denied::HeaderMissing("host".into())));
}
