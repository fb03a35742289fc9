//! PROXY protocol: listeners, trusted sources, and the VPC endpoints of key stores.

use std::net::IpAddr;

use super::{GOOD, load_text};
use crate::config::{Changes, Configuration, Loaded};
use crate::keystore::VpcEndpointMode;

const LISTEN: &str = "listen = [\"127.0.0.1:0\"]";
const REQUIRED: &str = "listen = [{ address = \"0.0.0.0:443\", proxy_protocol = \"required\" }]";
const TRUSTED: &str = "proxy_protocol_trusted_sources = [\"10.20.0.0/24\"]";
const LIST: &str = "allowed_vpc_endpoints = [\"vpce-0123456789abcdef0\"]";

/// The good configuration with these lines in `[server]`, in the key store, and before everything.
fn text(server: &str, store: &str, first: &str) -> String {
    let text = GOOD.replacen(LISTEN, server, 1);
    assert_ne!(text, GOOD);
    first.to_owned() + &text.replacen("region =", &format!("{store}\nregion ="), 1)
}

fn loaded(server: &str, store: &str, first: &str) -> Loaded {
    load_text(&text(server, store, first)).unwrap()
}

fn configuration(server: &str, store: &str) -> Configuration {
    loaded(server, store, "").configuration
}

#[test]
fn listeners_have_an_address_or_a_table_with_one() {
    for (listen, expected) in [
        ("\"0.0.0.0:443\"", &[("0.0.0.0:443", false)][..]),
        ("{ address = \"0.0.0.0:443\" }", &[("0.0.0.0:443", false)]),
        (
            "{ address = \"0.0.0.0:443\", proxy_protocol = \"required\" }",
            &[("0.0.0.0:443", true)],
        ),
        (
            "[\"0.0.0.0:443\", { address = \"0.0.0.0:444\", proxy_protocol = \"required\" }, { address = \"[::1]:445\", proxy_protocol = \"off\" }]",
            &[
                ("0.0.0.0:443", false),
                ("0.0.0.0:444", true),
                ("[::1]:445", false),
            ],
        ),
    ] {
        let server = format!("listen = {listen}\n{TRUSTED}");
        let admin = format!("admin = {{ listen = {} }}\n", listen.replace(":44", ":91"));
        let configuration = loaded(&server, "", &admin).configuration;
        let listed = |list: &[crate::listen::ListenAddress]| -> Vec<(String, bool)> {
            let listed = list
                .iter()
                .map(|one| (one.address.to_string(), one.requires_header));
            listed.collect()
        };
        let expected = expected
            .iter()
            .map(|(address, is)| (String::from(*address), *is));
        let expected: Vec<_> = expected.collect();
        assert_eq!(listed(&configuration.server.listen), expected, "{listen}");
        let admin = listed(&configuration.admin.unwrap().listen);
        let same_ports = admin
            .into_iter()
            .map(|(address, is)| (address.replace(":91", ":44"), is));
        assert_eq!(same_ports.collect::<Vec<_>>(), expected, "{listen}");
    }
}

#[test]
fn trusted_sources_and_endpoints_are_read() {
    let server = format!("{REQUIRED}\n{TRUSTED}");
    let store = format!("{LIST}\nvpc_endpoint_mode = \"enforce\"");
    let loaded = loaded(&server, &store, "");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let configuration = loaded.configuration;
    let trusted = &configuration.server.proxy_protocol_trusted_sources;
    let contains = |address: &str| trusted.contain(address.parse::<IpAddr>().unwrap());
    assert!(contains("10.20.0.255") && !contains("10.20.1.0"));
    let endpoints = &configuration.key_stores[0].vpc_endpoints;
    assert_eq!(endpoints.mode, VpcEndpointMode::Enforce);
    assert_eq!(endpoints.allowed[0].as_str(), "vpce-0123456789abcdef0");
    let exempt = configuration.exempt_sources();
    assert!(exempt.vpc_endpoints.contains(&endpoints.allowed[0]));
    let without = super::load_text(GOOD).unwrap().configuration;
    assert_eq!(without.key_stores[0].vpc_endpoints, Default::default());
    assert!(without.server.proxy_protocol_trusted_sources.is_empty());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_setting_without_effect_is_an_error() {
    let admin =
        "admin = { listen = { address = \"127.0.0.1:9180\", proxy_protocol = \"required\" } }\n";
    let required = format!("{REQUIRED}\n{TRUSTED}");
    let enforced = "vpc_endpoint_mode = \"enforce\"";
    for (server, store, first, fault) in [
        (
            REQUIRED,
            "",
            "",
            "server.listen: proxy_protocol = \"required\" needs server.proxy_protocol_trusted_sources",
        ),
        (
            LISTEN_PLAIN,
            "",
            admin,
            "admin.listen: proxy_protocol = \"required\" needs server.proxy_protocol_trusted_sources",
        ),
        (
            LISTEN_PLAIN,
            LIST,
            "",
            "key_store[0].allowed_vpc_endpoints: needs a listener with proxy_protocol = \"required\"",
        ),
        (
            &*format!("{LISTEN_PLAIN}\n{TRUSTED}"),
            LIST,
            admin,
            "key_store[0].allowed_vpc_endpoints: needs a listener",
        ),
        (
            &required,
            enforced,
            "",
            "key_store[0].vpc_endpoint_mode: \"enforce\" needs allowed_vpc_endpoints",
        ),
        (
            &required,
            "allowed_vpc_endpoints = [\"vpce-1\"]",
            "",
            "\"vpce-1\" is not a VPC endpoint id",
        ),
        (
            &required,
            "allowed_vpc_endpoints = [\"vpce-0123456789ABCDEF0\"]",
            "",
            "is not a VPC endpoint id",
        ),
        (
            &required,
            "vpc_endpoint_mode = \"reject\"",
            "",
            "it may be \"observe\" or \"enforce\"",
        ),
        (
            "listen = [{ address = \"0.0.0.0:443\", proxy_protocol = \"detect\" }]",
            "",
            "",
            "server.listen[0].proxy_protocol: is \"detect\"; it may be \"off\" or \"required\"",
        ),
        (
            "listen = [{ proxy_protocol = \"off\" }]",
            "",
            "",
            "server.listen[0].address: is missing",
        ),
        (
            "listen = [{ address = \"0.0.0.0:443\", proxy = \"off\" }]",
            "",
            "",
            "server.listen[0].proxy: is unknown",
        ),
        (
            "listen = [{ address = \"0.0.0.0\" }]",
            "",
            "",
            "is not an address",
        ),
        (
            "listen = [{ address = \"0.0.0.0:443\" }, \"127.0.0.1:443\"]",
            "",
            "",
            "cannot be bound: it overlaps with",
        ),
        (
            "listen = [443]",
            "",
            "",
            "server.listen: must be a string, a table, or a list of strings and tables",
        ),
        (
            &format!("{REQUIRED}\nproxy_protocol_trusted_sources = [\"10.20.0.1/24\"]"),
            "",
            "",
            "has bits set behind its prefix",
        ),
    ] {
        let text = text(server, store, first);
        let faults = load_text(&text).unwrap_err().to_string();
        assert!(faults.contains(fault), "{fault}\nis not in\n{faults}");
    }
}

const LISTEN_PLAIN: &str = "listen = \"127.0.0.1:0\"";

#[test]
fn settings_that_weaken_or_block_are_warned_about() {
    let everyone = format!("{REQUIRED}\nproxy_protocol_trusted_sources = [\"0.0.0.0/0\"]");
    let two = format!(
        "listen = [\"0.0.0.0:444\", {}]\n{TRUSTED}",
        &REQUIRED[10..REQUIRED.len() - 1]
    );
    let enforced = format!("{LIST}\nvpc_endpoint_mode = \"enforce\"");
    for (server, store, warning) in [
        (
            &everyone,
            "",
            "every client can claim any address and any VPC endpoint",
        ),
        (
            &format!("{LISTEN_PLAIN}\n{TRUSTED}"),
            "",
            "has no effect: no listener has proxy_protocol",
        ),
        (
            &two,
            &*enforced,
            "\"enforce\" rejects every request through 0.0.0.0:444",
        ),
    ] {
        let warnings = loaded(server, store, "").warnings;
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert!(
            warnings.join("\n").contains(warning),
            "{warning}: {warnings:?}"
        );
    }
}

#[test]
fn settings_of_new_listeners_wait_for_the_restart() {
    let changes = |(old, of_old): (&str, &str), (new, of_new): (&str, &str)| {
        let (old, new) = (configuration(old, of_old), configuration(new, of_new));
        let changes = Changes::between(&old, &new);
        let places = |list: &[crate::config::Change]| {
            let places = list.iter().map(|change| change.place.clone());
            // Each configuration has a different directory and a different certificate.
            let is_ours = |place: &String| !place.contains("tls") && !place.contains("pin");
            places.filter(is_ours).collect::<Vec<_>>().join(" ")
        };
        (places(&changes.applied), places(&changes.need_restart))
    };
    let required = format!("{REQUIRED}\n{TRUSTED}");
    let other = required.replace("10.20.0.0", "10.30.0.0");
    let list = "key_store.payments.allowed_vpc_endpoints";
    let mode = "key_store.payments.vpc_endpoint_mode";
    let trusted = "server.proxy_protocol_trusted_sources";
    let enforced = format!("{LIST}\nvpc_endpoint_mode = \"enforce\"");
    let both = format!("{list} {mode}");
    assert_eq!(
        changes((&required, ""), (&other, &enforced)),
        (format!("{trusted} {both}"), String::new())
    );
    assert_eq!(
        changes((&required, LIST), (&required, &enforced)),
        (mode.into(), String::new())
    );
    // From a listener that receives no endpoint ids.
    let postponed = format!("server.listen {trusted} {both}");
    assert_eq!(
        changes((LISTEN_PLAIN, ""), (&required, &enforced)),
        (String::new(), postponed)
    );
    let back = changes((&required, &enforced), (LISTEN_PLAIN, ""));
    assert_eq!(back, (both, format!("server.listen {trusted}")));
}
