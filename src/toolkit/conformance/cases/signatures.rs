//! Section 7: a signature that is missing, malformed, expired, changed or made for another request is a 401.

use super::super::body::Op;
use super::super::case::{Case, must};
use super::super::case_error::{CaseError, StepResult};
use super::super::check;
use super::super::context::Context;
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
            rejected(name, sent, move |context| {
                Ok(forge(&context.target.signer.now()).sign(&unsigned(context)))
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
            move |context| {
                let body = context.good_body(op)?.to_string();
                let answer = context.send(&context.unsigned(op, context.key(), body))?;
                check::error(&answer, &[check::AUTHENTICATION])
            },
        )
    }));
    cases.push(must(
        "7",
        "unknown-id-like-wrong-secret",
        "an unknown access key id, and a wrong secret",
        "the same response",
        same_responses,
    ));
    cases
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn header_lists() -> Vec<Case> {
    let listed = |name: &str, sent: &str, names: &'static [&'static str]| {
        rejected(name, sent, move |context| {
            Ok(context
                .target
                .signer
                .now()
                .sign_fields(&unsigned(context), names))
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
        rejected(
            "signed-header-tampered",
            "a changed value of an additional signed header",
            |context| {
                let names = ["content-type", "host", "x-amz-date", "x-more"];
                let signed = context
                    .target
                    .signer
                    .now()
                    .sign_fields(&unsigned(context).with("x-more", "one"), &names);
                Ok(signed.replacing("x-more", "two"))
            },
        ),
        rejected(
            "payload-unsigned",
            "UNSIGNED-PAYLOAD instead of the body's hash",
            |context| {
                let signer = context.target.signer.now();
                let names = ["content-type", "host", "x-amz-content-sha256", "x-amz-date"];
                let request = unsigned(context)
                    .with("x-amz-date", &signer.date_time())
                    .with("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
                let authorization =
                    signer.authorization_for_payload(&request, &names, "UNSIGNED-PAYLOAD");
                Ok(request.with("authorization", &authorization))
            },
        ),
        rejected("authorization-twice", "Authorization twice", |context| {
            let signed = context.target.signer.now().sign(&unsigned(context));
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
            |context| {
                Ok(context
                    .target
                    .signer
                    .now()
                    .sign_fields(&unsigned(context), &["host", "x-amz-date"]))
            },
        ),
        accepted(
            "more-headers-signed",
            "an additional signed header",
            |context| {
                let names = ["content-type", "host", "x-amz-date", "x-more"];
                Ok(context
                    .target
                    .signer
                    .now()
                    .sign_fields(&unsigned(context).with("x-more", "one"), &names))
            },
        ),
        accepted(
            "separators-without-blanks",
            "an Authorization with commas without blanks",
            |context| {
                Ok(edited(
                    context.target.signer.now().sign(&unsigned(context)),
                    ", ",
                    ",",
                ))
            },
        ),
        accepted(
            "unsigned-header-added",
            "an unsigned header that a hop has added",
            |context| {
                Ok(context
                    .target
                    .signer
                    .now()
                    .sign_fields(&unsigned(context), &FIELDS)
                    .with("x-forwarded-for", "192.0.2.1"))
            },
        ),
        accepted("nearly-stale", "signed 4 minutes ago", |context| {
            Ok(context.target.signer.shifted(-240).sign(&unsigned(context)))
        }),
        accepted(
            "nearly-from-the-future",
            "signed 4 minutes ahead",
            |context| Ok(context.target.signer.shifted(240).sign(&unsigned(context))),
        ),
        accepted(
            "second-credential",
            "signed with --second-credential",
            |context| {
                let second = context.target.second_signer.as_ref();
                let second = second.ok_or_else(|| {
                    CaseError::Skipped("--second-credential was not given".into())
                })?;
                Ok(second.now().sign(&unsigned(context)))
            },
        ),
    ]
}

pub(super) fn unsigned(context: &Context<'_>) -> Request {
    let body = context.plain_body(Op::Metadata).to_string();
    context.unsigned(Op::Metadata, context.key(), body)
}

pub(super) fn edited(request: Request, from: &str, to: &str) -> Request {
    let authorization = request.value("authorization").replace(from, to);
    request.replacing("authorization", &authorization)
}

pub(super) fn rejected(
    name: &str,
    sent: &str,
    make: impl Fn(&Context<'_>) -> Result<Request, CaseError> + 'static,
) -> Case {
    must(
        "7",
        format!("signature-{name}"),
        sent,
        "401 AuthenticationFailedException",
        move |context| check::error(&context.send(&make(context)?)?, &[check::AUTHENTICATION]),
    )
}

fn accepted(
    name: &str,
    sent: &str,
    make: impl Fn(&Context<'_>) -> Result<Request, CaseError> + 'static,
) -> Case {
    must(
        "7",
        format!("signature-{name}"),
        sent,
        "200",
        move |context| check::success(&context.send(&make(context)?)?).map(drop),
    )
}

fn same_responses(context: &Context<'_>) -> StepResult {
    let signer = context.target.signer.now();
    let unknown = Signer {
        access_key_id: "ZZZZZZZZZZZZZZZZZZZZZZ".into(),
        ..signer.clone()
    };
    let unknown = context.send(&unknown.sign(&unsigned(context)))?;
    let wrong = context.send(&signer.with_wrong_secret().sign(&unsigned(context)))?;
    let same = (unknown.status, &unknown.body) == (wrong.status, &wrong.body);
    check::ensure(same, || "the responses differ".to_owned())
}
