//! Three signers that know nothing of each other or of us: the aws-sigv4 crate, curl and botocore. What one encrypts the
//! others decrypt.

use serde_json::Value;

use crate::harness::http::Request;
use crate::harness::pki::KMS_SUBJECT;
use crate::harness::tools::{botocore, client_certificate, curl};
use crate::harness::wire::{bytes, decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, PAYMENTS_NEXT, Proxy, ROOT, StoreName};

const ENCRYPT: &str = "/payments/kms/xks/v1/keys/orders/encrypt";
const DECRYPT: &str = "/payments/kms/xks/v1/keys/orders/decrypt";

#[track_caller]
fn curled(proxy: &Proxy, path: &str, body: &Value, options: &[&str]) -> Value {
    let answer = curl(proxy, &PAYMENTS, path, &body.to_string(), options);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[track_caller]
fn by_botocore(proxy: &Proxy, store: &StoreName, path: &str, body: &Value) -> Value {
    let mut request = Request::post(path, &proxy.host(), body.to_string()).without("content-type");
    request
        .headers
        .extend(botocore(proxy, store, path, &body.to_string()));
    proxy.send(&request).ok()
}

#[test]
fn what_one_signer_encrypts_the_others_decrypt() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = [
        payments.encrypt("orders", b"one plaintext"),
        curled(
            &proxy,
            ENCRYPT,
            &encrypt_body(b"one plaintext"),
            &["--http1.1"],
        ),
        curled(
            &proxy,
            ENCRYPT,
            &encrypt_body(b"one plaintext"),
            &["--http2"],
        ),
        by_botocore(&proxy, &PAYMENTS, ENCRYPT, &encrypt_body(b"one plaintext")),
    ];
    for answer in encrypted {
        let decrypted = [
            payments
                .call("decrypt", "orders", &decrypt_body(&answer))
                .ok(),
            curled(&proxy, DECRYPT, &decrypt_body(&answer), &["--http1.1"]),
            curled(&proxy, DECRYPT, &decrypt_body(&answer), &["--http2"]),
            by_botocore(&proxy, &PAYMENTS, DECRYPT, &decrypt_body(&answer)),
        ];
        for answer in decrypted {
            assert_eq!(bytes(&answer, "plaintext"), b"one plaintext");
        }
    }
}

#[test]
fn both_credentials_of_a_store_sign_and_no_other_does() {
    let proxy = Proxy::start();
    let body = encrypt_body(b"x");
    by_botocore(&proxy, &PAYMENTS, ENCRYPT, &body);
    by_botocore(&proxy, &PAYMENTS_NEXT, ENCRYPT, &body);
    let refused = curl(&proxy, &ROOT, ENCRYPT, &body.to_string(), &[]);
    assert_eq!(refused.status, 401, "{}", refused.body);
    assert_eq!(refused.json()["errorName"], "AuthenticationFailedException");
}

#[test]
fn curl_over_mtls() {
    let proxy = Proxy::start_with(|setup| setup.require_client_certificates());
    let identity = proxy.setup.client_authority.client(KMS_SUBJECT);
    let options = client_certificate(&proxy.setup, &identity);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let encrypted = curled(&proxy, ENCRYPT, &encrypt_body(b"over mTLS"), &options);
    let decrypted = curled(&proxy, DECRYPT, &decrypt_body(&encrypted), &options);
    assert_eq!(bytes(&decrypted, "plaintext"), b"over mTLS");
}
