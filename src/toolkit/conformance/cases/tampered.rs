//! Section 7: a change after the signature is a 401.

use super::super::body::Op;
use super::super::case::Case;
use super::super::context::Context;
use super::super::wire::Request;
use super::signatures::{edited, rejected, unsigned};

type Tamper = fn(&Context<'_>, Request) -> Request;

/// Changes of a signed request.
const TAMPERS: [(&str, &str, Tamper); 17] = [
    ("body-tampered", "another body", |_, r| {
        let body = [r.body.as_slice(), b" "].concat();
        r.body(body)
    }),
    ("body-emptied", "no body", |_, r| r.body("")),
    ("path-tampered", "another key's path", |s, r| {
        let target = s.path(Op::Metadata, s.target.keys.missing());
        r.target(&target)
    }),
    ("query-added", "a query", |_, r| {
        let target = format!("{}?a=b", r.target);
        r.target(&target)
    }),
    ("host-tampered", "another Host", |_, r| {
        r.replacing("host", "xks.example.com")
    }),
    ("date-tampered", "another x-amz-date", |s, r| {
        r.replacing("x-amz-date", &s.target.signer.shifted(-60).date_time())
    }),
    ("date-missing", "no x-amz-date", |_, r| {
        r.without("x-amz-date")
    }),
    ("date-malformed", "an x-amz-date of another form", |_, r| {
        r.replacing("x-amz-date", "2026-01-01T00:00:00Z")
    }),
    (
        "content-type-tampered",
        "another Content-Type, which was signed",
        |_, r| r.replacing("content-type", "text/plain"),
    ),
    ("authorization-missing", "no Authorization", |_, r| {
        r.without("authorization")
    }),
    ("authorization-empty", "an empty Authorization", |_, r| {
        r.replacing("authorization", "")
    }),
    ("authorization-basic", "Basic authentication", |_, r| {
        r.replacing("authorization", "Basic eDp5")
    }),
    (
        "authorization-other-algorithm",
        "AWS4-HMAC-SHA512",
        |_, r| edited(r, "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
    ),
    (
        "authorization-without-credential",
        "an Authorization without Credential",
        |_, r| edited(r, "Credential=", "Credentials="),
    ),
    (
        "authorization-without-signed-headers",
        "an Authorization without SignedHeaders",
        |_, r| edited(r, "SignedHeaders=", "Headers="),
    ),
    ("signature-cut-short", "63 digits of signature", |_, r| {
        let mut a = r.value("authorization").to_owned();
        a.pop();
        r.replacing("authorization", &a)
    }),
    (
        "signature-changed",
        "the last digit of the signature changed",
        |_, r| {
            let mut a = r.value("authorization").to_owned();
            let last = a.pop();
            a.push(if last == Some('0') { '1' } else { '0' });
            r.replacing("authorization", &a)
        },
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let case = |(name, sent, tamper): (&str, &str, Tamper)| {
        rejected(name, sent, move |context| {
            let signed = context.target.signer.now().sign(&unsigned(context));
            Ok(tamper(context, signed))
        })
    };
    TAMPERS.map(case).into()
}
