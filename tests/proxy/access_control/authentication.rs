//! SigV4 (section 7 of the contract): a missing, malformed or old signature, and one for another scope, gets status 401.

use crate::harness::http::Request;
use crate::harness::sign::Signer;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{CLOSED, Caller, PAYMENTS, Proxy, RETAIL, ROOT};

const FIELDS: [&str; 3] = ["content-type", "host", "x-amz-date"];

fn metadata(caller: &Caller<'_>) -> Request {
    caller.unsigned("metadata", "orders", plain_body("metadata").to_string())
}

#[track_caller]
fn assert_rejected(proxy: &Proxy, request: &Request) {
    let response = proxy.send(request);
    assert_eq!(response.status, 401, "{request:?}: {response:?}");
    response.assert_error(401, "AuthenticationFailedException");
}

/// Asserts that a request of this signer is rejected.
#[track_caller]
fn assert_signer_rejected(payments: &Caller<'_>, signer: &Signer) {
    assert_rejected(payments.proxy, &signer.sign(&metadata(payments)));
}

#[test]
fn responses_without_authorization_contain_no_information_about_keys() {
    let proxy = Proxy::start();
    for (store, keys) in [
        (&PAYMENTS, ["orders", "no-such-key"]),
        (&CLOSED, ["stock-2", "no-such-key"]),
    ] {
        let caller = proxy.caller(store);
        let bodies = keys.map(|key| {
            let response =
                proxy.send(&caller.unsigned("metadata", key, plain_body("metadata").to_string()));
            response.assert_error(401, "AuthenticationFailedException");
            response.body
        });
        assert_eq!(bodies[0], bodies[1]);
    }
    let payments = proxy.caller(&PAYMENTS);
    for (operation, body) in [
        ("health", plain_body("health")),
        ("encrypt", encrypt_body(b"x")),
    ] {
        assert_rejected(
            &proxy,
            &payments.unsigned(operation, "orders", body.to_string()),
        );
        assert_rejected(&proxy, &payments.unsigned(operation, "orders", "not JSON"));
    }
}

#[test]
fn a_malformed_authorization_is_rejected() {
    let proxy = Proxy::start();
    let signed =
        proxy
            .caller(&PAYMENTS)
            .request("metadata", "orders", plain_body("metadata").to_string());
    let good = signed.value("authorization").to_owned();
    let signature = good.rsplit('=').next().unwrap().to_owned();
    let cut = |count: usize| good[..good.len() - count].to_owned();
    for authorization in [
        String::new(),
        "Basic dXNlcjpwYXNzd29yZA==".into(),
        "Bearer token".into(),
        "AWS4-HMAC-SHA256".into(),
        "AWS4-HMAC-SHA256 ".into(),
        "AWS4-HMAC-SHA256 Credential, SignedHeaders, Signature".into(),
        "AWS4-HMAC-SHA256 Credential=, SignedHeaders=, Signature=".into(),
        "AWS4-HMAC-SHA256 =,=,=,,,;;;///".into(),
        good.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        good.replace("AWS4-HMAC-SHA256 ", ""),
        good.replace("Credential=", "credentials="),
        good.replace("/aws4_request", ""),
        good.replace("/aws4_request", "/aws5_request"),
        good.replace("/aws4_request", "/aws4_request/more"),
        good.replace("SignedHeaders=", "SignedHeaders=;"),
        good.replace(&format!(", Signature={signature}"), ""),
        good.replace(&signature, ""),
        good.replace(&signature, &"0".repeat(64)),
        good.replace(&signature, &"g".repeat(64)),
        good.replace(&signature, &"é".repeat(32)),
        cut(1),
        cut(32),
        format!("{good}0"),
        format!("{good}, Signature={signature}"),
        good.replace("Credential=", &format!("Credential={},", "A".repeat(8_000))),
        format!("AWS4-HMAC-SHA256 {}", "Credential=A/B/C/D/E,".repeat(400)),
    ] {
        assert_rejected(
            &proxy,
            &signed.clone().replacing("authorization", &authorization),
        );
    }
    proxy.send(&signed).ok();
}

#[test]
fn an_unknown_access_key_id_and_a_wrong_secret_have_the_same_response() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let unknown = Signer {
        access_key_id: "XKSNOBODYKEYAAAAAAAA".into(),
        ..payments.signer.clone()
    };
    let wrong = Signer {
        secret: ROOT.secret.into(),
        ..payments.signer.clone()
    };
    let responses = [unknown, wrong].map(|signer| {
        let response = proxy.send(&signer.sign(&metadata(&payments)));
        response.assert_error(401, "AuthenticationFailedException");
        let fields = response
            .headers
            .into_iter()
            .filter(|(name, _)| name != "date");
        (fields.collect::<Vec<_>>(), response.body)
    });
    assert_eq!(responses[0], responses[1]);
}

#[test]
fn a_credential_is_accepted_by_its_key_store_only() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for store in [&ROOT, &CLOSED, &RETAIL] {
        let foreign = proxy.caller(store);
        let path = Caller {
            signer: payments.signer.clone(),
            ..foreign
        };
        assert_rejected(
            &proxy,
            &path.request("health", "", plain_body("health").to_string()),
        );
    }
}

#[test]
fn another_region_or_service_is_rejected() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for region in ["us-east-1", "eu-west-2", "EU-WEST-1", ""] {
        assert_signer_rejected(
            &payments,
            &Signer {
                region: region.into(),
                ..payments.signer.clone()
            },
        );
    }
    for service in ["kms", "KMS-XKS-PROXY", "s3"] {
        assert_signer_rejected(
            &payments,
            &Signer {
                service: service.into(),
                ..payments.signer.clone()
            },
        );
    }
}

#[test]
fn a_clock_skew_of_four_minutes_is_accepted_and_of_six_is_rejected() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for minutes in [-4, 4] {
        proxy
            .send(&payments.signer.shifted(minutes).sign(&metadata(&payments)))
            .ok();
    }
    for minutes in [-6, 6, -24 * 60, 24 * 60, -40 * 365 * 24 * 60] {
        assert_signer_rejected(&payments, &payments.signer.shifted(minutes));
    }
}

#[test]
fn a_wrong_scope_is_rejected_although_the_signing_key_is_right() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let correct = &payments.signer;
    let changes: [fn(&mut Signer); 3] = [
        |signer| signer.region = "us-east-1".into(),
        |signer| signer.service = "kms".into(),
        |signer| signer.scope_time = signer.shifted(-24 * 60).time,
    ];
    for change in changes {
        let mut wrong = correct.clone();
        change(&mut wrong);
        wrong.key_of = Some(Box::new(correct.clone()));
        let request = wrong.sign_fields(&metadata(&payments), &FIELDS);
        assert_rejected(&proxy, &request);
    }
    proxy
        .send(&correct.sign_fields(&metadata(&payments), &FIELDS))
        .ok();
}

#[test]
fn a_scope_date_that_differs_from_x_amz_date_is_rejected() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let yesterday = payments.signer.shifted(-24 * 60);
    // A correct signature with yesterday's key and scope, and the current X-Amz-Date.
    let dated_now = Signer {
        scope_time: yesterday.time,
        ..payments.signer.clone()
    };
    assert_rejected(
        &proxy,
        &dated_now.sign_fields(&metadata(&payments), &FIELDS),
    );
    let dated_yesterday = Signer {
        time: yesterday.time,
        ..payments.signer.clone()
    };
    assert_rejected(
        &proxy,
        &dated_yesterday.sign_fields(&metadata(&payments), &FIELDS),
    );
    let signed = payments.signer.sign(&metadata(&payments));
    let scope = signed
        .value("authorization")
        .replace(&payments.signer.date(), &yesterday.date());
    assert_rejected(&proxy, &signed.replacing("authorization", &scope));
}

#[test]
fn x_amz_date_must_occur_once_and_be_well_formed_and_signed() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let signed = payments.signer.sign(&metadata(&payments));
    assert_rejected(&proxy, &signed.clone().without("x-amz-date"));
    let date = signed.value("x-amz-date").to_owned();
    assert_rejected(&proxy, &signed.clone().with("x-amz-date", &date));
    assert_rejected(
        &proxy,
        &payments
            .signer
            .sign_fields(&metadata(&payments), &["content-type", "host"]),
    );
    for wrong in [
        "",
        "now",
        "20240230T000000Z",
        "2024-01-01T00:00:00Z",
        "Mon, 01 Jan 2024 00:00:00 GMT",
    ] {
        let request = metadata(&payments).with("x-amz-date", wrong);
        let authorization = payments.signer.authorization(&request, &FIELDS);
        assert_rejected(&proxy, &request.with("authorization", &authorization));
    }
}
