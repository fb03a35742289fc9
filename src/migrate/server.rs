//! `[server]`, `[security]`, `[tls]` and `[tracing]` of the settings.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use super::leftovers;
use super::notes::Notes;
use crate::toml_file::Section;

/// The values for `[server]` and `[log]`, and the Region of all key stores.
pub(super) struct Server {
    pub(super) listen: SocketAddr,
    pub(super) region: String,
    pub(super) tls: Tls,
    pub(super) log_level: &'static str,
}

/// The values for `[server.tls]`; `None` where the settings have no value.
#[derive(Default)]
pub(super) struct Tls {
    pub(super) certificate: Option<String>,
    pub(super) private_key: Option<String>,
    /// CA and subject, both or neither: one of them alone would accept too many clients.
    pub(super) client_auth: Option<ClientAuth>,
}

/// The values for `[server.tls.client_auth]`.
pub(super) struct ClientAuth {
    pub(super) ca: String,
    pub(super) subject: String,
}

/// The service in the signatures of KMS. This proxy accepts no other.
const SERVICE: &str = "kms-xks-proxy";

/// The port to which KMS connects.
const KMS_PORT: u16 = 443;

/// The levels of both proxies. The sample also accepts capital letters.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

const DEFAULT_LEVEL: &str = "info";

pub(super) fn read(root: &Section<'_>, notes: &mut Notes) -> Option<Server> {
    let listen_and_region = listen_and_region(root, notes);
    let is_mutual = security(root, notes);
    let tls = tls(root, is_mutual.unwrap_or(false), notes);
    let log_level = log_level(root, notes);
    is_mutual?;
    let (listen, region) = listen_and_region?;
    Some(Server {
        listen,
        region,
        tls: tls?,
        log_level,
    })
}

fn listen_and_region(root: &Section<'_>, notes: &mut Notes) -> Option<(SocketAddr, String)> {
    let section = root.required_section("server")?;
    let listen = listen(&section, notes);
    let region = section.required_string("region", "\"eu-west-1\"");
    if region.is_some() {
        notes.carried(&section, "region", "key_store.region");
    }
    match section.string("service") {
        Some(SERVICE) => notes.carried(&section, "service", "always accepted; no other service is"),
        Some(_) => notes.dropped(&section, "service", "KMS signs only for kms-xks-proxy"),
        None => {}
    }
    let message = "GET /ping does not exist: configure load balancers to request /readyz, and set admin.listen to an address that they reach";
    notes.to_do(&section, "", message);
    notes.drop_rest(&section, leftovers::SERVER);
    Some((listen?, region?.to_owned()))
}

fn listen(section: &Section<'_>, notes: &mut Notes) -> Option<SocketAddr> {
    let ip = section.parsed("ip", ip_address);
    let ip = ip.or_else(|| section.missing("ip", "\"0.0.0.0\""));
    let port = section.integer("port", 1..=u64::from(u16::MAX));
    let port = port.or_else(|| section.missing("port", "443"));
    let listen = SocketAddr::new(ip?, u16::try_from(port?).ok()?);
    notes.carried(section, "ip", "server.listen");
    notes.carried(section, "port", "server.listen");
    if listen.port() != KMS_PORT {
        let message = "KMS connects to port 443: change server.listen, unless a load balancer forwards that port to this one";
        notes.to_do(section, "port", message);
    }
    Some(listen)
}

/// The value of `ip` is not an IP address.
#[derive(Debug, Error)]
#[error("{0:?} is not an IP address")]
struct AddressError(String);

fn ip_address(text: &str) -> Result<IpAddr, AddressError> {
    text.parse().map_err(|_| AddressError(text.to_owned()))
}

/// Checks that the sample can disable, each with a note for that case. This proxy cannot disable them.
const ALWAYS: [(&str, &str); 2] = [
    (
        "is_sigv4_auth_enabled",
        "was false, so everybody could call; here every request must be signed with a credential of its key store",
    ),
    (
        "is_tls_enabled",
        "was false; this proxy accepts only TLS, so a load balancer in front of it must also use TLS",
    ),
];

/// Returns whether client certificates are required; `None` if there is an error.
fn security(root: &Section<'_>, notes: &mut Notes) -> Option<bool> {
    let section = root.required_section("security")?;
    for (key, message) in ALWAYS {
        match section.required_boolean(key) {
            Some(true) => notes.carried(&section, key, "always active"),
            Some(false) => notes.to_do(&section, key, message),
            None => {}
        }
    }
    let is_mutual = section.required_boolean("is_mtls_enabled");
    let to = match is_mutual {
        Some(true) => "server.tls.client_auth",
        Some(false) | None => "no server.tls.client_auth",
    };
    notes.carried(&section, "is_mtls_enabled", to);
    secondary_authorization(&section, notes);
    notes.drop_rest(&section, &[]);
    is_mutual
}

/// The rules are lost, so operators who rely on them must be warned.
fn secondary_authorization(section: &Section<'_>, notes: &mut Notes) {
    if section.has("secondary_auth") {
        let message = "its rules are not carried over, so every signed request is allowed: if that is too much, write the rules in [policy] before you switch to this proxy";
        notes.to_do(section, "secondary_auth", message);
    }
    if section.has("oso") {
        let message = "the language of [policy] is Cedar: rewrite the Polar files";
        notes.dropped(section, "oso", message);
    }
}

fn tls(root: &Section<'_>, is_mutual: bool, notes: &mut Notes) -> Option<Tls> {
    let Some(section) = root.section("tls") else {
        return without_tls(root, is_mutual, notes);
    };
    let certificate = file(&section, "tls_cert_pem", "server.tls.certificate", notes);
    let private_key = file(&section, "tls_key_pem", "server.tls.private_key", notes);
    let client_auth = match is_mutual {
        true => Some(client_auth(&section, notes)?),
        false => None,
    };
    let unused = "had no effect without is_mtls_enabled";
    let unused = [
        ("mtls_client_ca_pem", unused),
        ("mtls_client_dns_name", unused),
    ];
    notes.drop_rest(&section, if is_mutual { &[] } else { &unused });
    Some(Tls {
        certificate,
        private_key,
        client_auth,
    })
}

/// Without client certificates, a missing `[tls]` is a gap to fill in. With client certificates, it is an error: the CA is missing.
fn without_tls(root: &Section<'_>, is_mutual: bool, notes: &mut Notes) -> Option<Tls> {
    let message = "is missing: name certificate and private key in server.tls";
    notes.to_do(root, "tls", message);
    match is_mutual {
        true => root.missing("tls", "{ … }, which is_mtls_enabled needs"),
        false => Some(Tls::default()),
    }
}

fn file(section: &Section<'_>, key: &str, to: &str, notes: &mut Notes) -> Option<String> {
    let path = section.string(key).filter(|path| !path.is_empty());
    match path {
        Some(_) => notes.carried(section, key, to),
        None => notes.to_do(section, key, format!("is not set: set {to}")),
    }
    path.map(|path| absolute(section, path))
}

/// Returns the absolute path for a path of the settings, which is relative to the working directory of the sample.
pub(super) fn absolute(section: &Section<'_>, path: &str) -> String {
    section.resolve(path).to_string_lossy().into_owned()
}

fn client_auth(section: &Section<'_>, notes: &mut Notes) -> Option<ClientAuth> {
    let ca = section.required_string("mtls_client_ca_pem", "\"tls/client_ca.pem\"");
    let subject =
        section.required_string("mtls_client_dns_name", "\"cks.kms.<region>.amazonaws.com\"");
    let (ca, subject) = (ca?, subject?);
    notes.carried(section, "mtls_client_ca_pem", "server.tls.client_auth.ca");
    notes.carried(
        section,
        "mtls_client_dns_name",
        "server.tls.client_auth.subjects",
    );
    let message = "the sample proxy rejected clients without this certificate; here the mode is \"optional\", because AWS deprecates mTLS; \"required\" would also reject them";
    notes.to_do(section, "mtls_client_dns_name", message);
    Some(ClientAuth {
        ca: absolute(section, ca),
        subject: subject.to_owned(),
    })
}

fn log_level(root: &Section<'_>, notes: &mut Notes) -> &'static str {
    let Some(section) = root.section("tracing") else {
        return DEFAULT_LEVEL;
    };
    let text = section.string("level");
    let same = |level: &&str| text.is_some_and(|text| text.eq_ignore_ascii_case(level));
    let level = LEVELS.into_iter().find(same);
    match (level, text) {
        (Some(_), _) => notes.carried(&section, "level", "log.level"),
        (None, Some(_)) => notes.dropped(
            &section,
            "level",
            "is not a level of this proxy: log.level is \"info\"",
        ),
        (None, None) => {}
    }
    notes.drop_rest(&section, leftovers::TRACING);
    level.unwrap_or(DEFAULT_LEVEL)
}
