//! A strict parser of responses: anything but an HTTP/1.1 response of a known length fails the test.

use std::io::{self, ErrorKind, Read};

use serde_json::Value;

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the body as JSON; fails the test if it is not JSON, or not labelled as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let kind = self.value("content-type").unwrap_or_default();
        assert!(
            kind.starts_with("application/json"),
            "not labelled as JSON: {self:?}"
        );
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// Returns the body of a 200.
    #[track_caller]
    pub fn ok(&self) -> Value {
        let body = self.json();
        assert_eq!(self.status, 200, "{body}");
        body
    }

    /// Fails the test unless this is the error `status` `name`, in the form of section 6 of the contract.
    #[track_caller]
    pub fn assert_error(&self, status: u16, name: &str) {
        let body = self.json();
        assert_eq!(
            (self.status, body["errorName"].as_str()),
            (status, Some(name)),
            "{body}"
        );
        let message = body["errorMessage"].as_str().unwrap_or_default();
        assert!(
            message.len() < 512,
            "errorMessage of {} characters",
            message.len()
        );
        assert!(
            message.bytes().all(|byte| (0x20..=0x7e).contains(&byte)),
            "errorMessage {message:?}"
        );
    }
}

/// Reads one response, or returns `None` if the stream ends before its first byte. `unread` keeps the bytes after it.
pub fn read_response(
    stream: &mut impl Read,
    unread: &mut Vec<u8>,
    head_only: bool,
) -> io::Result<Option<Response>> {
    let end = loop {
        if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        match more(stream, unread)? {
            0 if unread.is_empty() => return Ok(None),
            0 => {
                return Err(io::Error::other(format!(
                    "cut off: {}",
                    String::from_utf8_lossy(unread)
                )));
            }
            _ => {}
        }
    };
    let head: Vec<u8> = unread.drain(..end + 4).collect();
    let mut response = parse_head(&String::from_utf8_lossy(&head))?;
    if !head_only && response.status >= 200 {
        response.body = read_body(stream, unread, &response)?;
    }
    Ok(Some(response))
}

fn parse_head(head: &str) -> io::Result<Response> {
    let not_http = || io::Error::other(format!("not an HTTP answer: {head:?}"));
    let mut lines = head.trim_end().split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    words
        .next()
        .filter(|word| *word == "HTTP/1.1" || *word == "HTTP/1.0")
        .ok_or_else(not_http)?;
    let status = words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(not_http)?;
    let headers = lines
        .map(|line| line.split_once(':').ok_or_else(not_http))
        .map(|field| field.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())))
        .collect::<io::Result<_>>()?;
    Ok(Response {
        status,
        headers,
        body: Vec::new(),
    })
}

/// The proxy sends every response with Content-Length; any other framing fails the test.
fn read_body(stream: &mut impl Read, unread: &mut Vec<u8>, head: &Response) -> io::Result<Vec<u8>> {
    let length: usize = match head.value("content-length").map(str::parse) {
        Some(Ok(length)) => length,
        _ => {
            return Err(io::Error::other(format!(
                "an answer without Content-Length: {head:?}"
            )));
        }
    };
    while unread.len() < length {
        if more(stream, unread)? == 0 {
            return Err(io::Error::other(format!(
                "body cut off at {} of {length}",
                unread.len()
            )));
        }
    }
    Ok(unread.drain(..length).collect())
}

/// Reads once. A peer that ends without a TLS close, or resets because it did not read our body, has closed the connection.
fn more(stream: &mut impl Read, unread: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 16 * 1024];
    let count = match stream.read(&mut chunk) {
        Ok(count) => count,
        Err(error) if closed(error.kind()) => 0,
        Err(error) => return Err(error),
    };
    unread.extend_from_slice(&chunk[..count]);
    Ok(count)
}

fn closed(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        kind,
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}
