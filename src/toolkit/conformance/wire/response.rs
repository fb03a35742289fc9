//! Responses over HTTP/1.1: status, fields, and a body with a length, in chunks, or up to the end of the connection.

use std::io::{self, ErrorKind, Read};

/// The longest response that is read. No response of the API comes near it.
const MAX_ANSWER: usize = 4 << 20;

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the first value of a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Reads one final response, or returns `None` if the stream ends before its first byte. `unread` keeps the bytes after it.
pub(super) fn read(
    stream: &mut impl Read,
    unread: &mut Vec<u8>,
    head_only: bool,
) -> io::Result<Option<Response>> {
    loop {
        let Some(head) = until(stream, unread, b"\r\n\r\n")? else {
            return Ok(None);
        };
        let mut response = parse_head(&String::from_utf8_lossy(&head))?;
        if response.status < 200 {
            continue;
        }
        if !head_only && response.status != 204 && response.status != 304 {
            response.body = read_body(stream, unread, &response)?;
        }
        return Ok(Some(response));
    }
}

fn parse_head(head: &str) -> io::Result<Response> {
    let not_http = || io::Error::other(format!("not an HTTP response: {head:?}"));
    let mut lines = head.trim_end().split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let version = words.next().unwrap_or_default();
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(not_http());
    }
    let status = words.next().and_then(|word| word.parse().ok());
    let headers = lines
        .map(|line| line.split_once(':').ok_or_else(not_http))
        .map(|field| field.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())))
        .collect::<io::Result<_>>()?;
    Ok(Response {
        status: status.ok_or_else(not_http)?,
        headers,
        body: Vec::new(),
    })
}

fn read_body(stream: &mut impl Read, unread: &mut Vec<u8>, head: &Response) -> io::Result<Vec<u8>> {
    if head.value("transfer-encoding").is_some() {
        return read_chunks(stream, unread);
    }
    match head.value("content-length") {
        Some(length) => {
            let length = length.parse().map_err(io::Error::other)?;
            exactly(stream, unread, length)
        }
        None => {
            while more(stream, unread)? > 0 {}
            Ok(std::mem::take(unread))
        }
    }
}

fn read_chunks(stream: &mut impl Read, unread: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = until(stream, unread, b"\r\n")?.ok_or_else(cut_off)?;
        let line = String::from_utf8_lossy(&line);
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
        let chunk = exactly(stream, unread, length)?;
        // An empty line follows each chunk; an empty line ends the trailers after the last chunk.
        while until(stream, unread, b"\r\n")?.ok_or_else(cut_off)?.len() > 2 {}
        match length {
            0 => return Ok(body),
            _ => body.extend_from_slice(&chunk),
        }
    }
}

/// Reads up to and including `end`; none if the stream ends at once.
fn until(stream: &mut impl Read, unread: &mut Vec<u8>, end: &[u8]) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(at) = unread.windows(end.len()).position(|window| window == end) {
            return Ok(Some(unread.drain(..at + end.len()).collect()));
        }
        match more(stream, unread)? {
            0 if unread.is_empty() => return Ok(None),
            0 => return Err(cut_off()),
            _ => {}
        }
    }
}

fn exactly(stream: &mut impl Read, unread: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    while unread.len() < length {
        if more(stream, unread)? == 0 {
            return Err(cut_off());
        }
    }
    Ok(unread.drain(..length).collect())
}

fn cut_off() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the response is incomplete")
}

/// Reads once. A peer that ends without a TLS close, or resets because it did not read our body, has closed the connection.
fn more(stream: &mut impl Read, unread: &mut Vec<u8>) -> io::Result<usize> {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    if unread.len() > MAX_ANSWER {
        return Err(io::Error::other("the response is longer than 4 MiB"));
    }
    let mut chunk = [0; 16 * 1024];
    let count = match stream.read(&mut chunk) {
        Ok(count) => count,
        Err(error) => match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => 0,
            _ => return Err(error),
        },
    };
    unread.extend(chunk.iter().take(count));
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: &str) -> io::Result<Option<Response>> {
        read(&mut bytes.as_bytes(), &mut Vec::new(), false)
    }

    #[test]
    fn lengths_chunks_and_ends() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200\r\n\r\nhello",
        ] {
            let answer = answer(text).unwrap().unwrap();
            assert_eq!(
                (answer.status, answer.body.as_slice()),
                (200, &b"hello"[..])
            );
        }
    }

    #[test]
    fn incomplete_or_invalid_responses_are_errors() {
        assert!(answer("").unwrap().is_none());
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\n",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n",
        ] {
            assert!(answer(text).is_err(), "{text}");
        }
    }
}
