//! The VPC endpoints through which a key store may be called.

use crate::proxy_protocol::VpcEndpointId;

/// `allowed_vpc_endpoints` and `vpc_endpoint_mode` of a `[[key_store]]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VpcEndpoints {
    /// The ids; if there is none, every connection is allowed.
    pub allowed: Vec<VpcEndpointId>,
    /// What happens to requests of other connections.
    pub mode: VpcEndpointMode,
}

/// What happens to a request whose connection has not come through an allowed VPC endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VpcEndpointMode {
    /// It is served, and its log line says so.
    #[default]
    Observe,
    /// It gets the answer of a wrong signature.
    Enforce,
}

impl VpcEndpoints {
    /// Whether the store allows the endpoint of a connection. A store without a list allows every connection; with a list, a connection
    /// without an endpoint is not allowed.
    pub fn list(&self, endpoint: Option<&VpcEndpointId>) -> bool {
        self.allowed.is_empty() || endpoint.is_some_and(|id| self.allowed.contains(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_allows_what_is_on_it_and_no_list_allows_everything() {
        let id = |text: &str| VpcEndpointId::parse(text.as_bytes()).unwrap();
        let (listed, other) = (id("vpce-0123456789abcdef0"), id("vpce-0123456789abcdef1"));
        let mut endpoints = VpcEndpoints::default();
        assert!(endpoints.list(None) && endpoints.list(Some(&other)));
        endpoints.allowed.push(listed);
        assert!(endpoints.list(Some(&listed)));
        assert!(!endpoints.list(Some(&other)) && !endpoints.list(None));
    }
}
