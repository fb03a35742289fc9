//! `[server]`, `[security]`, `[tls]` and `[tracing]` of the settings.

use std::net::{IpAddr, SocketAddr};

use super::leftovers;
use super::notes::Notes;
use crate::config::section::Section;

/// What becomes `[server]` and `[log]`, and the region of every key store.
pub(super) struct Server {
    pub(super) listen: SocketAddr,
    pub(super) region: String,
    pub(super) tls: Tls,
    pub(super) log_level: &'static str,
}

/// `[server.tls]`; what the settings do not name is none.
#[derive(Default)]
pub(super) struct Tls {
    pub(super) certificate: Option<String>,
    pub(super) private_key: Option<String>,
    /// Both or neither: without the one the other would let too many in.
    pub(super) client_auth: Option<ClientAuth>,
}

/// mTLS.
pub(super) struct ClientAuth {
    pub(super) ca: String,
    pub(super) subject: String,
}

/// The only service that KMS signs for; this proxy accepts no other.
const SERVICE: &str = "kms-xks-proxy";

/// Where KMS connects to.
const KMS_PORT: u16 = 443;

/// The levels of both proxies; the sample's may be in capitals.
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
        Some(SERVICE) => notes.carried(&section, "service", "accepted always, and no other"),
        Some(_) => notes.left(&section, "service", "KMS signs for kms-xks-proxy only"),
        None => {}
    }
    let ping = "GET /ping is gone: let load balancers ask for /readyz, and admin.listen listen where they reach it";
    notes.open(&section, "", ping);
    notes.rest(&section, leftovers::SERVER);
    Some((listen?, region?.to_owned()))
}

fn listen(section: &Section<'_>, notes: &mut Notes) -> Option<SocketAddr> {
    let address = |text: &str| {
        let parsed = text.parse::<IpAddr>();
        parsed.map_err(|_| format!("{text:?} is no IP address"))
    };
    let ip = section.parsed("ip", address);
    let ip = ip.or_else(|| section.missing("ip", "\"0.0.0.0\""));
    let port = section.integer("port", 1..=u64::from(u16::MAX));
    let port = port.or_else(|| section.missing("port", "443"));
    let listen = SocketAddr::new(ip?, u16::try_from(port?).ok()?);
    notes.carried(section, "ip", "server.listen");
    notes.carried(section, "port", "server.listen");
    if listen.port() != KMS_PORT {
        let message = "KMS connects to port 443: unless something before the proxy maps it to this one, change server.listen";
        notes.open(section, "port", message);
    }
    Some(listen)
}

/// What the sample could be told to let pass; here that cannot be said.
const ALWAYS: [(&str, &str); 2] = [
    (
        "is_sigv4_auth_enabled",
        "was false, so anybody could call; here every request must be signed with a credential of its key store",
    ),
    (
        "is_tls_enabled",
        "was false; here there is only TLS, so what stands before the proxy must speak it too",
    ),
];

/// Whether client certificates are asked for.
fn security(root: &Section<'_>, notes: &mut Notes) -> Option<bool> {
    let section = root.required_section("security")?;
    for (key, otherwise) in ALWAYS {
        match section.required_boolean(key) {
            Some(true) => notes.carried(&section, key, "always so"),
            Some(false) => notes.open(&section, key, otherwise),
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
    notes.rest(&section, &[]);
    is_mutual
}

/// The gravest loss: who relied on these rules must learn it now.
fn secondary_authorization(section: &Section<'_>, notes: &mut Notes) {
    if section.has("secondary_auth") {
        let message = "its rules are not carried over, so every signed request is allowed: where that is too much, switch only when [policy] says them";
        notes.open(section, "secondary_auth", message);
    }
    if section.has("oso") {
        let message = "the language of [policy] is Cedar: Polar files must be written anew";
        notes.left(section, "oso", message);
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
    notes.rest(&section, if is_mutual { &[] } else { &unused });
    Some(Tls {
        certificate,
        private_key,
        client_auth,
    })
}

/// Nothing to serve with, which can be mended, or nobody to trust, which must not be passed over.
fn without_tls(root: &Section<'_>, is_mutual: bool, notes: &mut Notes) -> Option<Tls> {
    let message = "there is none: name certificate and private key in server.tls";
    notes.open(root, "tls", message);
    match is_mutual {
        true => root.missing("tls", "{ … }, as is_mtls_enabled needs it"),
        false => Some(Tls::default()),
    }
}

fn file(section: &Section<'_>, key: &str, to: &str, notes: &mut Notes) -> Option<String> {
    let path = section.string(key).filter(|path| !path.is_empty());
    match path {
        Some(_) => notes.carried(section, key, to),
        None => notes.open(section, key, format!("is not set: set {to}")),
    }
    path.map(|path| absolute(section, path))
}

/// The sample's relative paths start in its working directory, those of the configuration beside it.
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
    let message = "the sample proxy refused clients without this certificate; here the mode is \"optional\", because AWS deprecates mTLS: \"required\" would refuse them, too";
    notes.open(section, "mtls_client_dns_name", message);
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
        (None, Some(_)) => notes.left(&section, "level", "is no level here: log.level is \"info\""),
        (None, None) => {}
    }
    notes.rest(&section, leftovers::TRACING);
    level.unwrap_or(DEFAULT_LEVEL)
}
