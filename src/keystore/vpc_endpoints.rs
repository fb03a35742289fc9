//! The VPC endpoints through which a key store may be called.

use crate::proxy_protocol::VpcEndpointId;

/// `allowed_vpc_endpoints` and `vpc_endpoint_mode` of a `[[key_store]]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VpcEndpoints {
    /// The allowed endpoint IDs. If the list is empty, every connection is allowed.
    pub allowed: Vec<VpcEndpointId>,
    /// The effect on requests of other connections.
    pub mode: VpcEndpointMode,
}

/// The effect on a request whose connection did not use an allowed VPC endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VpcEndpointMode {
    /// The request is served, and its log line reports it.
    #[default]
    Observe,
    /// The request gets the same response as a wrong signature.
    Enforce,
}

impl VpcEndpoints {
    /// Returns whether the store allows the endpoint of a connection. Without a list, every connection is allowed. With a list, a connection
    /// without an endpoint is not allowed.
    pub fn allows(&self, endpoint: Option<&VpcEndpointId>) -> bool {
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
        assert!(endpoints.allows(None) && endpoints.allows(Some(&other)));
        endpoints.allowed.push(listed);
        assert!(endpoints.allows(Some(&listed)));
        assert!(!endpoints.allows(Some(&other)) && !endpoints.allows(None));
    }
}
