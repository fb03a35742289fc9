//! The settings that take effect only when the proxy is restarted. This is the only place that lists them.

use crate::config::configuration::Configuration;
use crate::keystore::VpcEndpoints;

/// Returns the configuration that a running proxy can apply: `new`, except that settings which need a restart stay as in `old`.
pub fn keep_until_restart(old: &Configuration, mut new: Configuration) -> Configuration {
    if old.server.listen != new.server.listen || old.admin != new.admin {
        // The trusted sources belong to the new listeners.
        let trusted = &mut new.server.proxy_protocol_trusted_sources;
        trusted.clone_from(&old.server.proxy_protocol_trusted_sources);
    }
    if !old.receives_vpc_endpoints() {
        // No listener receives VPC endpoint ids before the restart: a store that enforces them would reject every request.
        for store in &mut new.key_stores {
            store.vpc_endpoints = VpcEndpoints::default();
        }
    }
    new.server.listen.clone_from(&old.server.listen);
    new.admin.clone_from(&old.admin);
    new.audit.clone_from(&old.audit);
    new.log.format = old.log.format;
    new.log.otlp.clone_from(&old.log.otlp);
    new
}
