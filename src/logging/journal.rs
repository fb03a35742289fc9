//! Finds out whether systemd's journal reads standard output (systemd.exec(5), `$JOURNAL_STREAM`).

use std::io::stdout;

/// Returns whether the journal reads standard output. The variable names the device and inode of the stream, because a process may have
/// inherited it while its output goes elsewhere.
pub(super) fn reads_standard_output() -> bool {
    let named = std::env::var("JOURNAL_STREAM").ok();
    let Ok(output) = rustix::fs::fstat(stdout()) else {
        return false;
    };
    named.and_then(|named| stream(&named)) == Some((output.st_dev, output.st_ino))
}

/// Parses device and inode.
fn stream(named: &str) -> Option<(u64, u64)> {
    let (device, inode) = named.split_once(':')?;
    Some((device.parse().ok()?, inode.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_device_and_inode() {
        assert_eq!(stream("8:1234"), Some((8, 1234)));
        for named in ["", "8", "8:", "8:x", "8:1:2", "-8:1"] {
            assert_eq!(stream(named), None, "{named}");
        }
    }
}
