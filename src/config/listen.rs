//! `server.listen` and `admin.listen`: every address can be bound beside the others.

use std::net::SocketAddr;

use super::section::Section;
use super::values;
use crate::listen::{Endpoint, endpoints};

/// The addresses that have been read so far, with the keys that name them.
#[derive(Default)]
pub(super) struct Listeners(Vec<(String, Endpoint)>);

impl Listeners {
    /// Reads the addresses of `section.listen`. An address that cannot be bound beside a known one is an error.
    pub(super) fn read(&mut self, section: &Section<'_>, example: &str) -> Option<Vec<SocketAddr>> {
        let Some(texts) = section.string_or_strings("listen") else {
            return section.missing("listen", example);
        };
        if texts.is_empty() {
            section.fault("listen", format!("is empty; for example {example}"));
            return None;
        }
        let address = |text| {
            values::address(text)
                .map_err(|problem| section.fault("listen", problem))
                .ok()
        };
        let addresses: Vec<Option<SocketAddr>> = texts.into_iter().map(address).collect();
        let addresses: Vec<SocketAddr> = addresses.into_iter().collect::<Option<_>>()?;
        for endpoint in endpoints(&addresses) {
            self.note(section, endpoint);
        }
        Some(addresses)
    }

    fn note(&mut self, section: &Section<'_>, new: Endpoint) {
        let conflict = self.0.iter().find(|(_, known)| known.conflicts_with(&new));
        if let Some((key, known)) = conflict {
            let what = match known.address == new.address {
                true => format!("{new} is listed twice (also in {key})"),
                false => format!("{new} cannot be bound beside {known} of {key}: they overlap"),
            };
            section.fault("listen", what);
        }
        self.0.push((section.key_path("listen"), new));
    }
}
