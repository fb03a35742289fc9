//! Section 7: a signature that is missing, malformed, expired, changed or made for another request is a 401.

use super::super::body::Op;
use super::super::case::{Case, must};
use super::super::check;
use super::super::fault::{Fault, Judged};
use super::super::scene::Scene;
use super::super::wire::{Request, Signer};

const FIELDS: [&str; 3] = ["content-type", "host", "x-amz-date"];

type Forge = fn(&Signer) -> Signer;

/// Signers that are not KMS.
const FORGERS: [(&str, &str, Forge); 9] = [
    (
        "wrong-secret",
        "signed with a wrong secret",
        Signer::with_wrong_secret,
    ),
    ("unknown-id", "signed with an unknown access key id", |s| {
        Signer {
            access_key_id: "ZZZZZZZZZZZZZZZZZZZZZZ".into(),
            ..s.clone()
        }
    }),
    (
        "lower-case-id",
        "signed with the access key id in lower case",
        |s| Signer {
            access_key_id: s.access_key_id.to_lowercase(),
            ..s.clone()
        },
    ),
    ("other-region", "signed for another region", |s| Signer {
        region: "xx-nowhere-1".into(),
        ..s.clone()
    }),
    ("other-service", "signed for the service kms", |s| Signer {
        service: "kms".into(),
        ..s.clone()
    }),
    (
        "other-terminator",
        "a credential scope that ends in aws5_request",
        |s| Signer {
            terminator: "aws5_request".into(),
            ..s.clone()
        },
    ),
    (
        "other-scope-date",
        "a credential scope of another day",
        |s| Signer {
            scope_time: s.shifted(-3 * 86_400).time,
            ..s.clone()
        },
    ),
    ("stale", "signed 5 minutes and 30 seconds ago", |s| {
        s.shifted(-330)
    }),
    (
        "from-the-future",
        "signed 5 minutes and 30 seconds ahead",
        |s| s.shifted(330),
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = FORGERS
        .map(|(name, sent, forge)| {
            refused(name, sent, move |scene| {
                Ok(forge(&scene.target.signer.now()).sign(&unsigned(scene)))
            })
        })
        .into();
    cases.extend(header_lists());
    cases.extend(accepted_forms());
    cases.extend(Op::ALL.map(|op| {
        must(
            "7",
            format!("unsigned-{}", op.name()),
            format!("{} without a signature", op.name()),
            "401 AuthenticationFailedException",
            move |scene| {
                let body = scene.good_body(op)?.to_string();
                let answer = scene.send(&scene.unsigned(op, scene.key(), body))?;
                check::error(&answer, &[check::AUTHENTICATION])
            },
        )
    }));
    cases.push(must(
        "7",
        "unknown-id-like-wrong-secret",
        "an unknown access key id, and a wrong secret",
        "the same response",
        alike,
    ));
    cases
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn header_lists() -> Vec<Case> {
    let listed = |name: &str, sent: &str, names: &'static [&'static str]| {
        refused(name, sent, move |scene| {
            Ok(scene
                .target
                .signer
                .now()
                .sign_fields(&unsigned(scene), names))
        })
    };
    vec![
        listed(
            "host-unsigned",
            "Host not among SignedHeaders",
            &["content-type", "x-amz-date"],
        ),
        listed(
            "date-unsigned",
            "x-amz-date not among SignedHeaders",
            &["content-type", "host"],
        ),
        listed(
            "signed-header-absent",
            "a header in SignedHeaders that is missing in the request",
            &["content-type", "host", "x-absent", "x-amz-date"],
        ),
        listed(
            "signed-headers-unsorted",
            "SignedHeaders out of order",
            &["x-amz-date", "host", "content-type"],
        )
        .advised(),
        refused(
            "signed-header-tampered",
            "a changed value of an additional signed header",
            |scene| {
                let names = ["content-type", "host", "x-amz-date", "x-more"];
                let signed = scene
                    .target
                    .signer
                    .now()
                    .sign_fields(&unsigned(scene).with("x-more", "one"), &names);
                Ok(signed.replacing("x-more", "two"))
            },
        ),
        refused(
            "payload-unsigned",
            "UNSIGNED-PAYLOAD instead of the body's hash",
            |scene| {
                let signer = scene.target.signer.now();
                let names = ["content-type", "host", "x-amz-content-sha256", "x-amz-date"];
                let request = unsigned(scene)
                    .with("x-amz-date", &signer.date_time())
                    .with("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
                let authorization =
                    signer.authorization_of_payload(&request, &names, "UNSIGNED-PAYLOAD");
                Ok(request.with("authorization", &authorization))
            },
        ),
        refused("authorization-twice", "Authorization twice", |scene| {
            let signed = scene.target.signer.now().sign(&unsigned(scene));
            let authorization = signed.value("authorization").to_owned();
            Ok(signed.with("authorization", &authorization))
        })
        .advised(),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn accepted_forms() -> Vec<Case> {
    vec![
        accepted(
            "two-headers-signed",
            "SignedHeaders with host and x-amz-date only",
            |scene| {
                Ok(scene
                    .target
                    .signer
                    .now()
                    .sign_fields(&unsigned(scene), &["host", "x-amz-date"]))
            },
        ),
        accepted(
            "more-headers-signed",
            "an additional signed header",
            |scene| {
                let names = ["content-type", "host", "x-amz-date", "x-more"];
                Ok(scene
                    .target
                    .signer
                    .now()
                    .sign_fields(&unsigned(scene).with("x-more", "one"), &names))
            },
        ),
        accepted(
            "separators-without-blanks",
            "an Authorization with commas without blanks",
            |scene| {
                Ok(edited(
                    scene.target.signer.now().sign(&unsigned(scene)),
                    ", ",
                    ",",
                ))
            },
        ),
        accepted(
            "unsigned-header-added",
            "an unsigned header that a hop has added",
            |scene| {
                Ok(scene
                    .target
                    .signer
                    .now()
                    .sign_fields(&unsigned(scene), &FIELDS)
                    .with("x-forwarded-for", "192.0.2.1"))
            },
        ),
        accepted("nearly-stale", "signed 4 minutes ago", |scene| {
            Ok(scene.target.signer.shifted(-240).sign(&unsigned(scene)))
        }),
        accepted(
            "nearly-from-the-future",
            "signed 4 minutes ahead",
            |scene| Ok(scene.target.signer.shifted(240).sign(&unsigned(scene))),
        ),
        accepted(
            "second-credential",
            "signed with --second-credential",
            |scene| {
                let second = scene.target.second_signer.as_ref();
                let second = second
                    .ok_or_else(|| Fault::Skipped("--second-credential was not given".into()))?;
                Ok(second.now().sign(&unsigned(scene)))
            },
        ),
    ]
}

pub(super) fn unsigned(scene: &Scene<'_>) -> Request {
    let body = scene.plain_body(Op::Metadata).to_string();
    scene.unsigned(Op::Metadata, scene.key(), body)
}

pub(super) fn edited(request: Request, from: &str, to: &str) -> Request {
    let authorization = request.value("authorization").replace(from, to);
    request.replacing("authorization", &authorization)
}

pub(super) fn refused(
    name: &str,
    sent: &str,
    make: impl Fn(&Scene<'_>) -> Result<Request, Fault> + 'static,
) -> Case {
    must(
        "7",
        format!("signature-{name}"),
        sent,
        "401 AuthenticationFailedException",
        move |scene| check::error(&scene.send(&make(scene)?)?, &[check::AUTHENTICATION]),
    )
}

fn accepted(
    name: &str,
    sent: &str,
    make: impl Fn(&Scene<'_>) -> Result<Request, Fault> + 'static,
) -> Case {
    must(
        "7",
        format!("signature-{name}"),
        sent,
        "200",
        move |scene| check::success(&scene.send(&make(scene)?)?).map(drop),
    )
}

fn alike(scene: &Scene<'_>) -> Judged {
    let signer = scene.target.signer.now();
    let unknown = Signer {
        access_key_id: "ZZZZZZZZZZZZZZZZZZZZZZ".into(),
        ..signer.clone()
    };
    let unknown = scene.send(&unknown.sign(&unsigned(scene)))?;
    let wrong = scene.send(&signer.with_wrong_secret().sign(&unsigned(scene)))?;
    let same = (unknown.status, &unknown.body) == (wrong.status, &wrong.body);
    check::that(same, || "the responses differ".to_owned())
}
