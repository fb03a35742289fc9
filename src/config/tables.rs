//! Reads all tables of a configuration, and checks what concerns several of them.

use std::time::Duration;

use super::configuration::Configuration;
use super::server::certificate::Certificates;
use super::server::client_subject;
use super::server::listen::{self, Listeners};
use super::{audit, files, health, hsm, key_store, log, policy, server};
use crate::admin::AdminSettings;
use crate::toml_file::Section;

/// Reads the whole document; `None` if there is an error.
pub(super) fn read(root: &Section<'_>, certificates: &Certificates) -> Option<Configuration> {
    files::exposure::settings(root);
    files::exposure::check_document(root);
    let health = health::settings(root);
    let mut listeners = Listeners::default();
    let server = server::settings(root, health.fleet_size, &mut listeners, certificates);
    let admin = admin(root, &mut listeners);
    let (log, access_log_sample) = log::settings(root);
    let hedge_delay = hedge_delay(root);
    let hsms = hsm::all(root, health.interval);
    let key_stores = key_store::all(root, &hsms);
    let policy = policy::settings(root);
    let audit = audit::settings(root);
    root.finish();
    let (audit, hsms, key_stores) = (audit?, hsms?, key_stores?);
    audit::check_key(root, audit.as_ref(), &hsms, &key_stores);
    audit::check_path(root, audit.as_ref(), &hsms);
    hsm::check_writable(root, &hsms);
    client_subject::check(root, &key_stores);
    let policy = policy?;
    policy::check_names(root, policy.as_ref(), &key_stores);
    let (server, admin) = (server?, admin?);
    listen::check_proxy_protocol(root, (&server, admin.as_ref()), &key_stores);
    Some(Configuration {
        server,
        admin,
        log,
        access_log_sample,
        hedge_delay,
        audit,
        policy,
        hsms,
        key_stores,
    })
}

/// Far below the request timeout of KMS, and far above the response time of a healthy HSM.
const HEDGE_DELAY: Duration = Duration::from_millis(80);

fn hedge_delay(root: &Section<'_>) -> Duration {
    let Some(section) = root.section("failover") else {
        return HEDGE_DELAY;
    };
    let range = Duration::from_millis(1)..=Duration::from_secs(60);
    let delay = section
        .duration("hedge_delay", range)
        .unwrap_or(HEDGE_DELAY);
    section.finish();
    delay
}

/// `None` if there is an error; `Some(None)` without an `[admin]` table.
fn admin(root: &Section<'_>, listeners: &mut Listeners) -> Option<Option<AdminSettings>> {
    let Some(section) = root.section("admin") else {
        return Some(None);
    };
    let listen = listeners.read(&section, "\"127.0.0.1:9180\"");
    section.finish();
    Some(Some(AdminSettings { listen: listen? }))
}
