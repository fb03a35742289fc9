//! One HTTP/1.1 request to the collector, without TLS: the collector is an agent on this host or in this network.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::build_info;
use crate::logging::Collector;

/// The timeout of the connection attempt, and of each read and write.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest status line that is read, in bytes. The rest of the response is ignored.
const STATUS_LINE: u64 = 256;

/// Sends a body to the collector.
///
/// # Errors
/// When the collector cannot be reached, or does not answer with a status from 200 to 299.
pub(super) fn post(collector: &Collector, body: &str) -> io::Result<()> {
    let mut stream = connect(&collector.authority)?;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: xks-proxy/{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        collector.path,
        collector.authority,
        build_info::VERSION,
        body.len(),
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = String::new();
    let mut line = [0; 1];
    let mut bytes = stream.take(STATUS_LINE);
    while !answer.ends_with('\n') && bytes.read(&mut line)? == 1 {
        answer.extend(line.map(char::from));
    }
    match status(&answer) {
        Some(200..=299) => Ok(()),
        Some(status) => Err(Error::other(format!("the collector answered {status}"))),
        None => Err(ErrorKind::InvalidData.into()),
    }
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut outcome = Err(ErrorKind::NotFound.into());
    for address in authority.to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&address, PATIENCE);
        if outcome.is_ok() {
            break;
        }
    }
    let stream = outcome?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Returns the status in the first line of a response.
fn status(answer: &str) -> Option<u16> {
    let rest = answer.strip_prefix("HTTP/1.")?;
    rest.split(' ').nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_in_the_first_line() {
        assert_eq!(status("HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status("HTTP/1.0 503\r\n"), Some(503));
        for garbage in ["", "HTTP/1.1", "HTTP/2 200", "SSH-2.0-x", "HTTP/1.1 ok"] {
            assert_eq!(status(garbage), None, "{garbage}");
        }
    }
}
