//! Warns about key stores for whose Region `client_auth.subjects` has no name of KMS.

use super::client_auth::BUILT_IN_CA;
use crate::keystore::KeyStoreSettings;
use crate::partitions::kms_service_principals;
use crate::toml_file::Section;

/// Warns once per Region. With a CA of the operator, the names of KMS do not apply; with `mode = "off"`, no certificate is
/// requested.
pub(in crate::config) fn check(root: &Section<'_>, stores: &[KeyStoreSettings]) {
    let tls = root
        .section("server")
        .and_then(|server| server.section("tls"));
    let Some(section) = tls.and_then(|tls| tls.section("client_auth")) else {
        return;
    };
    let is_off = section.string("mode") == Some("off");
    if is_off || section.string("ca") != Some(BUILT_IN_CA) {
        return;
    }
    let subjects = section.strings("subjects").unwrap_or_default();
    for (index, store) in stores.iter().enumerate() {
        let earlier = stores.iter().take(index);
        let is_repeated = earlier
            .into_iter()
            .any(|other| other.region == store.region);
        let known = kms_service_principals(&store.region);
        let is_named = known.iter().any(|name| subjects.contains(&name.as_str()));
        // For a Region of an unknown partition, the name of KMS is not known.
        if let (Some(name), false, false) = (known.first(), is_repeated, is_named) {
            let (region, store) = (&store.region, &store.name);
            let lacks = format!("has no name for the Region {region:?} of the key store {store:?}");
            section.warn("subjects", format!("{lacks}; KMS has {name:?} there"));
        }
    }
}
