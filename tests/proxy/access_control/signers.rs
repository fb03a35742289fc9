//! Three independent signers: the aws-sigv4 crate, curl and botocore. A ciphertext that one of them encrypted is decrypted by the others.

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
    let response = curl(proxy, &PAYMENTS, path, &body.to_string(), options);
    assert_eq!(response.status, 200, "{}", response.body);
    response.json()
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
fn a_ciphertext_of_one_signer_is_decrypted_by_the_others() {
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
    for ciphertext in encrypted {
        let body = decrypt_body(&ciphertext);
        let decrypted = [
            payments.call("decrypt", "orders", &body).ok(),
            curled(&proxy, DECRYPT, &body, &["--http1.1"]),
            curled(&proxy, DECRYPT, &body, &["--http2"]),
            by_botocore(&proxy, &PAYMENTS, DECRYPT, &body),
        ];
        for plaintext in decrypted {
            assert_eq!(bytes(&plaintext, "plaintext"), b"one plaintext");
        }
    }
}

#[test]
fn only_the_two_credentials_of_a_key_store_are_accepted() {
    let proxy = Proxy::start();
    let body = encrypt_body(b"x");
    by_botocore(&proxy, &PAYMENTS, ENCRYPT, &body);
    by_botocore(&proxy, &PAYMENTS_NEXT, ENCRYPT, &body);
    let rejected = curl(&proxy, &ROOT, ENCRYPT, &body.to_string(), &[]);
    assert_eq!(rejected.status, 401, "{}", rejected.body);
    assert_eq!(
        rejected.json()["errorName"],
        "AuthenticationFailedException"
    );
}

#[test]
fn curl_is_served_over_mtls() {
    let proxy = Proxy::start_with(|setup| setup.require_client_certificates());
    let identity = proxy.setup.client_authority.client(KMS_SUBJECT);
    let options = client_certificate(&proxy.setup, &identity);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let encrypted = curled(&proxy, ENCRYPT, &encrypt_body(b"over mTLS"), &options);
    let decrypted = curled(&proxy, DECRYPT, &decrypt_body(&encrypted), &options);
    assert_eq!(bytes(&decrypted, "plaintext"), b"over mTLS");
}
