//! Writes `config.toml`. A missing value is a gap with a comment, which `check-config` rejects.

use super::hsm::Hsm;
use super::sample::Sample;
use super::server::{Server, Tls};
use super::stores::{Key, Store};
use crate::secret::Secret;
use crate::toml_file::text::{credential_table, list, quoted};

/// The PIN file of the HSM, in the directory of the configuration.
const PIN_FILE: &str = "hsm.pin";

const GAP: &str = "\"\"  # fill this in";

const TOKEN_GAP: &str = "{}  # fill this in: { label = \"…\" } or { serial = \"…\" }";

pub(super) fn configuration(sample: &Sample, token_label: Option<&str>) -> String {
    let Sample {
        server,
        hsm,
        stores,
    } = sample;
    let mut text = "# Written by `xks-proxy migrate-config` from settings of the AWS sample proxy. Relative paths are relative to the directory of this file.\n"
        .to_owned();
    text += &self::server(server);
    text += &self::hsm(hsm, token_label);
    text.extend(
        stores
            .iter()
            .map(|store| self::store(store, &server.region)),
    );
    text
}

/// Returns the secret files that the configuration names, with their content.
pub(super) fn secrets(sample: Sample) -> Vec<(String, Secret)> {
    let pin = (PIN_FILE.to_owned(), sample.hsm.pin);
    let stores = sample.stores.into_iter();
    let store_secrets = stores.map(|store| (store.secret_file(), store.secret));
    std::iter::once(pin)
        .chain(store_secrets)
        .filter_map(|(file, secret)| Some((file, secret?)))
        .collect()
}

fn server(server: &Server) -> String {
    let listen = list(&[&server.listen.to_string()]);
    let level = quoted(server.log_level);
    let tls = tls(&server.tls);
    format!(
        "\n[server]\nlisten = {listen}\n\n{tls}\n[admin]\nlisten = \"127.0.0.1:9180\"\n\n[log]\nlevel = {level}\n"
    )
}

fn tls(tls: &Tls) -> String {
    let path = |path: &Option<String>| path.as_deref().map_or_else(|| GAP.to_owned(), quoted);
    let (certificate, private_key) = (path(&tls.certificate), path(&tls.private_key));
    let client_auth = tls.client_auth.as_ref().map(|client| {
        let (ca, subjects) = (quoted(&client.ca), list(&[&client.subject]));
        format!(
            "\n[server.tls.client_auth]\nmode = \"optional\"\nca = {ca}\nsubjects = {subjects}\n"
        )
    });
    format!(
        "[server.tls]\ncertificate = {certificate}\nprivate_key = {private_key}\n{}",
        client_auth.unwrap_or_default()
    )
}

fn hsm(hsm: &Hsm, token_label: Option<&str>) -> String {
    let token = token_label.map(|label| format!("{{ label = {} }}", quoted(label)));
    let token = token.as_deref().unwrap_or(TOKEN_GAP);
    let (module, profile) = (quoted(&hsm.module), quoted(hsm.gcm_profile));
    let sessions = hsm.sessions;
    format!(
        "\n[[hsm]]\nname = \"hsm-a\"\nmodule = {module}\ntoken = {token}\npin = {{ file = {PIN_FILE:?} }}\n\
        sessions = {sessions}\ngcm_profile = {profile}\nhealth_key = \"xks-health\"\n"
    )
}

fn store(store: &Store, region: &str) -> String {
    let (name, prefix, region) = (quoted(&store.name), quoted(&store.prefix), quoted(region));
    let credential = credential_table(&store.access_key_id, &store.secret_file());
    let keys: String = store.keys.iter().map(key).collect();
    format!(
        "\n[[key_store]]\nname = {name}\npath_prefix = {prefix}\nregion = {region}\n\
        legacy_ciphertexts = [\"aws-samples-v3\"]\n\n{credential}{keys}"
    )
}

fn key(key: &Key) -> String {
    let id = quoted(&key.id);
    let shared = if key.is_shared {
        "danger_shared = true\n"
    } else {
        ""
    };
    format!("\n[[key_store.key]]\nid = {id}\nlabel = {id}\n{shared}")
}
