//! `server.listen` and `admin.listen`: every address can be bound beside the others, and what PROXY protocol needs is there.

use std::net::SocketAddr;

use super::section::Section;
use super::section::lists::Item;
use super::values;
use crate::admin::AdminSettings;
use crate::connections::Networks;
use crate::keystore::{KeyStoreSettings, VpcEndpointMode, VpcEndpoints};
use crate::listen::{Endpoint, ListenAddress, endpoints};
use crate::server::ServerSettings;

/// The addresses that have been read so far, with the keys that name them.
#[derive(Default)]
pub(super) struct Listeners(Vec<(String, Endpoint)>);

impl Listeners {
    /// Reads the addresses of `section.listen`. An address that cannot be bound beside a known one is an error.
    pub(super) fn read(
        &mut self,
        section: &Section<'_>,
        example: &str,
    ) -> Option<Vec<ListenAddress>> {
        let Some(items) = section.strings_and_tables("listen") else {
            return section.missing("listen", example);
        };
        if items.is_empty() {
            section.fault("listen", format!("is empty; for example {example}"));
            return None;
        }
        let list: Vec<Option<ListenAddress>> =
            items.iter().map(|item| one(section, item)).collect();
        let list: Vec<ListenAddress> = list.into_iter().collect::<Option<_>>()?;
        let addresses: Vec<SocketAddr> = list.iter().map(|one| one.address).collect();
        for endpoint in endpoints(&addresses) {
            self.note(section, endpoint);
        }
        Some(list)
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

/// An address, or a table with one.
fn one(section: &Section<'_>, item: &Item<'_>) -> Option<ListenAddress> {
    match item {
        Item::Text(text) => {
            let address = values::address(text);
            let address = address.map_err(|problem| section.fault("listen", problem));
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

/// Whether connections begin with a PROXY header. No value means "detect it": the specification forbids that.
const PROXY_PROTOCOL: [(&str, bool); 2] = [("off", false), ("required", true)];

/// Reads the networks of load balancers.
pub(super) fn trusted_sources(section: &Section<'_>) -> Networks {
    let mut networks = Networks::default();
    for text in section.strings(TRUSTED).unwrap_or_default() {
        if let Err(problem) = networks.add(text) {
            section.fault(TRUSTED, problem);
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

/// Checks that listeners, trusted sources and the endpoints that key stores list can have the effect that they are meant to have.
pub(super) fn check_proxy_protocol(
    root: &Section<'_>,
    (server, admin): (&ServerSettings, Option<&AdminSettings>),
    stores: &[KeyStoreSettings],
) {
    let requires = |list: &[ListenAddress]| list.iter().any(|one| one.requires_header);
    let of_server = requires(&server.listen);
    let of_admin = admin.is_some_and(|admin| requires(&admin.listen));
    let has_trusted = !server.proxy_protocol_trusted_sources.is_empty();
    for (table, is_required) in [("server", of_server), ("admin", of_admin)] {
        let section = root.section(table);
        if let Some(section) = section.filter(|_| is_required && !has_trusted) {
            section.fault(
                "listen",
                "proxy_protocol = \"required\" needs server.proxy_protocol_trusted_sources: the networks of the load balancer",
            );
        }
    }
    let section = root.section("server");
    if let Some(section) = section.filter(|_| has_trusted && !of_server && !of_admin) {
        let what = "has no effect: no listener has proxy_protocol = \"required\"";
        section.warn(TRUSTED, what);
    }
    let others = server.listen.iter().filter(|one| !one.requires_header);
    let others: Vec<String> = others.map(|one| one.address.to_string()).collect();
    for (section, store) in root.sections("key_store").iter().zip(stores) {
        check_endpoints(section, &store.vpc_endpoints, (of_server, &others));
    }
}

fn check_endpoints(
    section: &Section<'_>,
    VpcEndpoints { allowed, mode }: &VpcEndpoints,
    (has_required, others): (bool, &[String]),
) {
    if !allowed.is_empty() && !has_required {
        let what = "needs a listener with proxy_protocol = \"required\" in server.listen: no connection has a VPC endpoint id";
        section.fault("allowed_vpc_endpoints", what);
    }
    let is_enforced = *mode == VpcEndpointMode::Enforce;
    if is_enforced && allowed.is_empty() {
        let what = "\"enforce\" needs allowed_vpc_endpoints: an empty list allows every connection";
        section.fault("vpc_endpoint_mode", what);
    }
    if is_enforced && has_required && !others.is_empty() {
        let listeners = others.join(", ");
        let what = format!(
            "\"enforce\" refuses every request through {listeners}, which does not require PROXY protocol"
        );
        section.warn("vpc_endpoint_mode", what);
    }
}
