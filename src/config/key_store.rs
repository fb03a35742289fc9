//! `[[key_store]]`: external key stores with their credentials and keys.

mod key;
mod region;
mod sharing;

use super::files;
use super::hsm::name;
use crate::hsm::HsmSettings;
use crate::keystore::{KeyStoreSettings, QuotaSettings, State, VpcEndpointMode, VpcEndpoints};
use crate::proxy_protocol::VpcEndpointId;
use crate::sigv4::{Credential, CredentialError, Credentials};
use crate::toml_file::Section;
use crate::toml_file::unique::Unique;
use crate::xks::PathPrefix;
use key::STATES;
use sharing::Sharing;

const VPC_ENDPOINT_MODES: [(&str, VpcEndpointMode); 2] = [
    ("observe", VpcEndpointMode::Observe),
    ("enforce", VpcEndpointMode::Enforce),
];

/// The only value of `legacy_ciphertexts`.
const AWS_SAMPLES: &str = "aws-samples-v3";

/// The maximum of a quota in requests per second: more than any HSM performs.
const MAX_RATE: u64 = 1_000_000;

/// The maximum weight of a key store.
const MAX_WEIGHT: u64 = 1_000;

/// Values that must be unique among all stores, and the keys in the HSMs that stores share.
#[derive(Default)]
struct Uniques<'a> {
    names: Unique,
    prefixes: Unique,
    access_key_ids: Unique,
    sharing: Sharing<'a>,
}

/// Reads all key stores; `None` if one has an error.
pub(super) fn all(
    root: &Section<'_>,
    hsms: &Option<Vec<HsmSettings>>,
) -> Option<Vec<KeyStoreSettings>> {
    let sections = root.sections("key_store");
    if sections.is_empty() {
        return root.missing("key_store", "[{ name = \"payments\", … }]");
    }
    let mut uniques = Uniques::default();
    let settings: Vec<_> = sections
        .iter()
        .map(|section| key_store(section, hsms.as_deref(), &mut uniques))
        .collect();
    uniques.sharing.check();
    settings.into_iter().collect()
}

fn key_store<'a>(
    section: &Section<'a>,
    hsms: Option<&[HsmSettings]>,
    uniques: &mut Uniques<'a>,
) -> Option<KeyStoreSettings> {
    let name = name(section);
    if let Some(name) = name {
        uniques.names.check(section, "name", name);
    }
    let prefix = prefix(section, uniques);
    let region = region_of(section);
    let state = section.choice("state", &STATES).unwrap_or(State::Enabled);
    let chosen = hsm_names(section, hsms);
    let credentials = credentials(section, uniques);
    let keys = key::all(section, hsms, chosen.as_deref(), &mut uniques.sharing);
    let quota = quota(section);
    let weight = section.integer("weight", 1..=MAX_WEIGHT).unwrap_or(1);
    let decrypts_aws_samples = decrypts_aws_samples(section);
    let vpc_endpoints = vpc_endpoints(section);
    section.finish();
    Some(KeyStoreSettings {
        name: name?.to_owned(),
        prefix: prefix?,
        region: region?,
        state,
        credentials: credentials?,
        keys: keys?,
        hsms: chosen?,
        quota: quota?,
        share: u32::try_from(weight).unwrap_or(1),
        decrypts_aws_samples,
        vpc_endpoints,
    })
}

/// The VPC endpoints that may call the store.
fn vpc_endpoints(section: &Section<'_>) -> VpcEndpoints {
    const LIST: &str = "allowed_vpc_endpoints";
    let ids = section.strings(LIST).unwrap_or_default();
    let mut allowed = Vec::new();
    for id in ids {
        match VpcEndpointId::parse(id.as_bytes()) {
            Some(id) => allowed.push(id),
            None => section.error(
                LIST,
                format!(
                    "{id:?} is not a VPC endpoint id; write it like \"vpce-0123456789abcdef0\""
                ),
            ),
        }
    }
    let mode = section.choice("vpc_endpoint_mode", &VPC_ENDPOINT_MODES);
    VpcEndpoints {
        allowed,
        mode: mode.unwrap_or_default(),
    }
}

/// `None` if there is an error; `Some(None)` without a quota.
fn quota(parent: &Section<'_>) -> Option<Option<QuotaSettings>> {
    let Some(section) = parent.section("quota") else {
        return Some(None);
    };
    let number = |key| Some(u32::try_from(section.integer(key, 1..=MAX_RATE)?).unwrap_or(1));
    let rate = number("rate").or_else(|| section.missing("rate", "1800"));
    let burst = number("burst").or(rate);
    section.finish();
    Some(Some(QuotaSettings {
        rate: rate?,
        burst: burst?,
    }))
}

/// Returns whether the store also decrypts ciphertexts of AWS's sample proxy.
fn decrypts_aws_samples(section: &Section<'_>) -> bool {
    let forms = section.strings("legacy_ciphertexts").unwrap_or_default();
    for form in forms.iter().filter(|form| **form != AWS_SAMPLES) {
        section.error(
            "legacy_ciphertexts",
            format!("{form:?} is unknown; it may be {AWS_SAMPLES:?}"),
        );
    }
    forms.contains(&AWS_SAMPLES)
}

fn prefix(section: &Section<'_>, uniques: &mut Uniques<'_>) -> Option<PathPrefix> {
    let parse = |text: &str| PathPrefix::parse(text).map_err(str::to_owned);
    let prefix = section.parsed("path_prefix", parse);
    let prefix = prefix.or_else(|| section.missing("path_prefix", "\"/payments\", or \"\""))?;
    uniques
        .prefixes
        .check(section, "path_prefix", prefix.as_str());
    warn_about_uri_path(section, prefix.as_str());
    Some(prefix)
}

/// KMS appends `/kms/xks/v1` to the prefix. A prefix that already ends like that is probably a whole `XksProxyUriPath`.
fn warn_about_uri_path(section: &Section<'_>, prefix: &str) {
    let Some((rest, version)) = prefix.rsplit_once("/kms/xks/v") else {
        return;
    };
    if !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit()) {
        section.warn(
            "path_prefix",
            format!(
                "looks like a whole XksProxyUriPath, but /kms/xks/v1 is appended to the prefix; write {rest:?} if KMS calls {prefix}"
            ),
        );
    }
}

fn region_of(section: &Section<'_>) -> Option<String> {
    let region = section.required_string("region", "\"eu-west-1\"")?;
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !region.bytes().all(legal) {
        section.error(
            "region",
            "is not an AWS Region; write it like \"eu-west-1\"",
        );
        return None;
    }
    if let Some(warning) = region::warning(region) {
        section.warn("region", warning);
    }
    Some(region.to_owned())
}

/// The names of the store's HSMs; without `hsms`, all of them.
fn hsm_names(section: &Section<'_>, hsms: Option<&[HsmSettings]>) -> Option<Vec<String>> {
    let named = section.strings("hsms");
    // If an HSM has an error, the names cannot be checked.
    let known: Vec<&str> = hsms?.iter().map(|hsm| &*hsm.name).collect();
    let Some(named) = named else {
        return Some(known.into_iter().map(str::to_owned).collect());
    };
    if named.is_empty() {
        section.error("hsms", format!("is empty; known are: {}", known.join(", ")));
        return None;
    }
    let check = |name: &str| match known.contains(&name) {
        true => Some(name.to_owned()),
        false => {
            section.error(
                "hsms",
                format!(
                    "no [[hsm]] is named {name:?}; known are: {}",
                    known.join(", ")
                ),
            );
            None
        }
    };
    let checked: Vec<_> = named.into_iter().map(check).collect();
    checked.into_iter().collect()
}

fn credentials(parent: &Section<'_>, uniques: &mut Uniques<'_>) -> Option<Credentials> {
    let sections = parent.sections("credential");
    if sections.is_empty() {
        return parent.missing(
            "credential",
            "[{ access_key_id = \"…\", secret = { file = \"…\" } }]",
        );
    }
    let credentials: Vec<_> = sections
        .iter()
        .map(|section| {
            let id = section.required_string("access_key_id", "\"XKSPAYMENTSKEYAAAAAA\"");
            let secret = files::secret(section, "secret");
            section.finish();
            let (id, secret) = (id?, secret?);
            uniques.access_key_ids.check(section, "access_key_id", id);
            Credential::new(id, secret)
                .map_err(|error| credential_error(section, error))
                .ok()
        })
        .collect();
    let credentials: Option<Vec<_>> = credentials.into_iter().collect();
    credentials.map(Credentials::new)
}

fn credential_error(section: &Section<'_>, error: CredentialError) {
    let key = match error {
        CredentialError::AccessKeyId => "access_key_id",
        CredentialError::Secret => "secret",
    };
    section.error(key, error.to_string());
}
