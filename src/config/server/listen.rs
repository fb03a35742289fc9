//! `server.listen` and `admin.listen`, and the keys for PROXY protocol.

use std::net::SocketAddr;

use crate::admin::AdminSettings;
use crate::connections::Networks;
use crate::keystore::{KeyStoreSettings, VpcEndpointMode, VpcEndpoints};
use crate::listen::{Endpoint, ListenAddress, endpoints};
use crate::server::ServerSettings;
use crate::toml_file::section::lists::Item;
use crate::toml_file::{Section, values};

/// The addresses that were read so far, each with the path of its key.
#[derive(Default)]
pub(in crate::config) struct Listeners(Vec<(String, Endpoint)>);

impl Listeners {
    /// Reads the addresses of `section.listen`. An address that cannot be bound in addition to an earlier one is an error.
    pub(in crate::config) fn read(
        &mut self,
        section: &Section<'_>,
        example: &str,
    ) -> Option<Vec<ListenAddress>> {
        let Some(items) = section.strings_and_tables("listen") else {
            return section.missing("listen", example);
        };
        if items.is_empty() {
            section.error("listen", format!("is empty; for example {example}"));
            return None;
        }
        let list: Vec<Option<ListenAddress>> =
            items.iter().map(|item| address(section, item)).collect();
        let list: Vec<ListenAddress> = list.into_iter().collect::<Option<_>>()?;
        let addresses: Vec<SocketAddr> = list.iter().map(|entry| entry.address).collect();
        for endpoint in endpoints(&addresses) {
            self.add(section, endpoint);
        }
        Some(list)
    }

    fn add(&mut self, section: &Section<'_>, new: Endpoint) {
        let conflict = self.0.iter().find(|(_, known)| known.conflicts_with(&new));
        if let Some((key, known)) = conflict {
            let message = match known.address == new.address {
                true => format!("{new} is listed twice (also in {key})"),
                false => format!("{new} cannot be bound: it overlaps with {known} of {key}"),
            };
            section.error("listen", message);
        }
        self.0.push((section.key_path("listen"), new));
    }
}

/// Reads an address, or a table that contains one.
fn address(section: &Section<'_>, item: &Item<'_>) -> Option<ListenAddress> {
    match item {
        Item::Text(text) => {
            let address = values::address(text);
            let address = address.map_err(|error| section.error("listen", error.to_string()));
            Some(address.ok()?.into())
        }
        Item::Table(table) => {
            let address = table.parsed("address", values::address);
            let address = address.or_else(|| table.missing("address", "\"0.0.0.0:443\""));
            let requires_header = table.choice("proxy_protocol", &PROXY_PROTOCOL);
            table.finish();
            Some(ListenAddress {
                address: address?,
                requires_header: requires_header.unwrap_or(false),
            })
        }
    }
}

/// The values of `proxy_protocol`: true if connections begin with a PROXY header. No value enables detection: the specification forbids it.
const PROXY_PROTOCOL: [(&str, bool); 2] = [("off", false), ("required", true)];

/// Reads the networks of load balancers.
pub(in crate::config) fn trusted_sources(section: &Section<'_>) -> Networks {
    let mut networks = Networks::default();
    for text in section.strings(TRUSTED).unwrap_or_default() {
        if let Err(problem) = networks.add(text) {
            section.error(TRUSTED, problem);
        }
    }
    if networks.has_all_addresses() {
        section.warn(
            TRUSTED,
            "has every address: every client can claim any address and any VPC endpoint",
        );
    }
    networks
}

const TRUSTED: &str = "proxy_protocol_trusted_sources";

/// Checks that listeners, trusted sources and the VPC endpoints of key stores can have an effect.
pub(in crate::config) fn check_proxy_protocol(
    root: &Section<'_>,
    (server, admin): (&ServerSettings, Option<&AdminSettings>),
    stores: &[KeyStoreSettings],
) {
    let requires = |list: &[ListenAddress]| list.iter().any(|entry| entry.requires_header);
    let server_requires = requires(&server.listen);
    let admin_requires = admin.is_some_and(|admin| requires(&admin.listen));
    let has_trusted = !server.proxy_protocol_trusted_sources.is_empty();
    for (table, is_required) in [("server", server_requires), ("admin", admin_requires)] {
        let section = root.section(table);
        if let Some(section) = section.filter(|_| is_required && !has_trusted) {
            section.error(
                "listen",
                "proxy_protocol = \"required\" needs server.proxy_protocol_trusted_sources: the networks of the load balancer",
            );
        }
    }
    let section = root.section("server");
    if let Some(section) = section.filter(|_| has_trusted && !server_requires && !admin_requires) {
        let message = "has no effect: no listener has proxy_protocol = \"required\"";
        section.warn(TRUSTED, message);
    }
    let others = server.listen.iter().filter(|entry| !entry.requires_header);
    let others: Vec<String> = others.map(|entry| entry.address.to_string()).collect();
    for (section, store) in root.sections("key_store").iter().zip(stores) {
        check_endpoints(section, &store.vpc_endpoints, (server_requires, &others));
    }
}

fn check_endpoints(
    section: &Section<'_>,
    VpcEndpoints { allowed, mode }: &VpcEndpoints,
    (has_required, others): (bool, &[String]),
) {
    if !allowed.is_empty() && !has_required {
        let message = "needs a listener with proxy_protocol = \"required\" in server.listen: no connection has a VPC endpoint id";
        section.error("allowed_vpc_endpoints", message);
    }
    let is_enforced = *mode == VpcEndpointMode::Enforce;
    if is_enforced && allowed.is_empty() {
        let message =
            "\"enforce\" needs allowed_vpc_endpoints: an empty list allows every connection";
        section.error("vpc_endpoint_mode", message);
    }
    if is_enforced && has_required && !others.is_empty() {
        let listeners = others.join(", ");
        let message = format!(
            "\"enforce\" rejects every request through {listeners}, which does not require PROXY protocol"
        );
        section.warn("vpc_endpoint_mode", message);
    }
}
