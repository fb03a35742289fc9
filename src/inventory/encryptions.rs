//! The number of encryptions of each key version, from the metrics of the running proxy.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The timeout for connecting and for each read and write. The proxy is on this machine.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest response that is read, in bytes.
const MAX_LENGTH: u64 = 16 << 20;

const METRIC: &str = "xks_key_encryptions_total{";

/// The text of a proxy's `/metrics`.
#[derive(Debug)]
pub struct Encryptions(String);

impl Encryptions {
    /// Reads the metrics from the admin listener at `address`. Returns none if no proxy answers there.
    pub fn read(address: SocketAddr) -> Option<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.take(MAX_LENGTH).read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200 ")
            .then(|| Self(body.to_owned()))
    }

    /// Returns the encryptions of a version since the start of that proxy.
    pub fn of_version(&self, store: &str, key: &str, version: u32) -> Option<u64> {
        let labels = [
            format!("store=\"{store}\""),
            format!("key=\"{key}\""),
            format!("version=\"{version}\""),
        ];
        let mut samples = self.0.lines().filter_map(|line| {
            let (found, value) = line.strip_prefix(METRIC)?.split_once("} ")?;
            let found: Vec<&str> = found.split(',').collect();
            let is_it = labels.iter().all(|label| found.contains(&label.as_str()));
            is_it.then(|| value.trim().parse().ok())?
        });
        samples.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_count() {
        let text = "# TYPE xks_key_encryptions_total counter\n\
            xks_key_encryptions_total{key=\"orders\",store=\"payments\",version=\"1\"} 7\n\
            xks_key_encryptions_total{key=\"orders\",store=\"payments\",version=\"11\"} 9\n\
            xks_key_encryptions_total{key=\"payments\",store=\"orders\",version=\"1\"} 8\n";
        let counts = Encryptions(text.to_owned());
        assert_eq!(counts.of_version("payments", "orders", 1), Some(7));
        assert_eq!(counts.of_version("payments", "orders", 11), Some(9));
        assert_eq!(counts.of_version("orders", "payments", 1), Some(8));
        assert_eq!(counts.of_version("payments", "orders", 2), None);
    }
}
