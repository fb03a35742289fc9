//! Sections 2 and 6: HTTP/1.1, HTTP/2, and bytes that are not a request.

use super::super::body::Op;
use super::super::case::{Case, must, should};
use super::super::case_error::{StepResult, violation};
use super::super::check;
use super::super::context::Context;
use super::super::wire::{Request, Tls, exchange_http2};

/// Bytes that a parser must not accept as a request of the API.
const GARBAGE: [(&str, &str); 7] = [
    ("words", "this is not HTTP\r\n\r\n"),
    ("version", "POST / HTTP/9.9\r\nhost: x\r\n\r\n"),
    ("field-without-colon", "POST / HTTP/1.1\r\nhost x\r\n\r\n"),
    (
        "negative-length",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    ),
    (
        "two-lengths",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    ),
    (
        "bad-chunk",
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ),
    ("html", "<html></html>\r\n\r\n"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = connections();
    cases.extend(GARBAGE.map(|(name, bytes)| {
        must(
            "6",
            format!("garbage-{name}"),
            "bytes that are not an HTTP request",
            "a JSON error, or the end of the connection",
            move |context| garbage(context, bytes),
        )
    }));
    cases
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn connections() -> Vec<Case> {
    vec![
        must(
            "2",
            "http-1.1-served",
            "health over HTTP/1.1, by ALPN",
            "200",
            |context| {
                let body = context.plain_body(Op::Health);
                context.ok(Op::Health, "", &body).map(drop)
            },
        ),
        must(
            "2",
            "http-1.1-without-alpn",
            "health by a client without ALPN",
            "200",
            |context| {
                let tls = Tls {
                    protocols: Vec::new(),
                    ..context.target.tls.clone()
                };
                let mut connection = context.connect(&tls)?;
                check::success(&context.send_on(&mut connection, &health(context))?).map(drop)
            },
        ),
        should(
            "2",
            "connection-reused",
            "three requests on one connection",
            "200 each",
            |context| {
                let mut connection = context.connect(&context.target.tls)?;
                for _ in 0..3 {
                    check::success(&context.send_on(&mut connection, &health(context))?)?;
                }
                Ok(())
            },
        ),
        should(
            "2",
            "connection-survives-a-refusal",
            "an unsigned request, then a signed one, on one connection",
            "401, then 200",
            |context| {
                let mut connection = context.connect(&context.target.tls)?;
                let unsigned =
                    context.unsigned(Op::Health, "", context.plain_body(Op::Health).to_string());
                check::any_error(&context.send_on(&mut connection, &unsigned)?)?;
                check::success(&context.send_on(&mut connection, &health(context))?).map(drop)
            },
        ),
        should(
            "2",
            "chunked-body-served",
            "health with a chunked body",
            "200",
            chunked,
        ),
        should(
            "2",
            "http-2-served",
            "health over HTTP/2, by ALPN",
            "200",
            http_2,
        ),
    ]
}

fn health(context: &Context<'_>) -> Request {
    context.signed(Op::Health, "", context.plain_body(Op::Health).to_string())
}

fn chunked(context: &Context<'_>) -> StepResult {
    let mut request = health(context).with("transfer-encoding", "chunked");
    let body = String::from_utf8_lossy(&request.body).into_owned();
    request.body = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes();
    check::success(&context.send(&request)?).map(drop)
}

fn http_2(context: &Context<'_>) -> StepResult {
    let tls = Tls {
        protocols: vec!["h2"],
        ..context.target.tls.clone()
    };
    let mut connection = context.connect(&tls)?;
    if connection.protocol() != Some(b"h2") {
        return violation("ALPN did not select h2");
    }
    let answer = exchange_http2(&mut connection, &health(context));
    context.remember("health over HTTP/2", format!("{answer:?}"));
    match answer {
        Ok(answer) if answer.status == Some(200) => Ok(()),
        Ok(answer) => violation(format!("status {:?}", answer.status)),
        Err(error) => violation(format!("no response: {error}")),
    }
}

fn garbage(context: &Context<'_>, bytes: &str) -> StepResult {
    let mut connection = context.connect(&context.target.tls)?;
    // A failed write means that the proxy has closed the connection.
    drop(connection.send(bytes.as_bytes()));
    let answer = connection.response(false);
    context.remember(bytes, format!("{answer:?}"));
    match answer {
        Ok(None) => Ok(()),
        // An empty body cannot contain HTML.
        Ok(Some(answer)) if answer.body.is_empty() && answer.status >= 400 => Ok(()),
        Ok(Some(answer)) => check::shaped(&answer).map(drop),
        Err(error) => violation(format!(
            "neither a response nor the end of the connection: {error}"
        )),
    }
}
