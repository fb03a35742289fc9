//! `server.public_names`: the host names by which KMS calls the proxy.

use std::sync::Arc;

use crate::toml_file::Section;

/// The maximum length of a host name in characters: `XksProxyUriEndpoint` has at most 128, and `https://` has eight.
const MAX_LENGTH: usize = 120;

/// Reads the names; empty without the key or if there is an error.
pub(super) fn read(section: &Section<'_>) -> Arc<[String]> {
    const KEY: &str = "public_names";
    let Some(names) = section.strings(KEY) else {
        return Arc::default();
    };
    for name in names.iter().filter(|name| !is_host_name(name)) {
        let problem = "is not a host name; write the host of XksProxyUriEndpoint, such as \"xks.example.com\": no https://, no port, no wildcard";
        section.error(KEY, format!("{name:?} {problem}"));
    }
    names.into_iter().map(str::to_owned).collect()
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_legal)
    };
    name.len() <= MAX_LENGTH && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_have_no_scheme_port_or_wildcard() {
        for good in [
            "xks.example.com",
            "localhost",
            "127.0.0.1",
            "a-b.EXAMPLE.com",
        ] {
            assert!(is_host_name(good), "{good}");
        }
        let too_long = "a".repeat(121);
        for bad in [
            "",
            "https://xks.example.com",
            "xks.example.com:443",
            "*.example.com",
            "xks.example.com.",
            "xks_a.example.com",
            too_long.as_str(),
        ] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }
}
