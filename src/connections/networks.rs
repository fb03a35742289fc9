//! Networks in CIDR form.

use std::net::IpAddr;

use ipnet::IpNet;

/// A list of networks. A lookup compares every network, which is fast because lists of load balancers are short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Returns whether `address` is in one of the networks. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Adds the network in `text`, such as `10.1.0.0/16` or `2001:db8::/48`.
    ///
    /// # Errors
    /// Returns the problem when `text` is not in CIDR form or has bits set after its prefix.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let wrong = |_| format!("{text:?} is not a CIDR; write it like \"10.1.0.0/16\"");
        let network: IpNet = text.parse().map_err(wrong)?;
        let whole = network.trunc();
        if whole != network {
            return Err(format!(
                "{text:?} has bits set behind its prefix; write {whole}"
            ));
        }
        self.0.push(network);
        Ok(())
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether one of the networks contains every address of its family.
    pub fn has_all_addresses(&self) -> bool {
        self.0.iter().any(|network| network.prefix_len() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_parsed_strictly_and_contain_their_addresses() {
        let mut networks = Networks::default();
        for right in ["10.1.0.0/16", "192.0.2.7/32", "2001:db8::/48"] {
            networks.add(right).unwrap();
        }
        for wrong in [
            "10.1.0.1/16",
            "10.1.0.0",
            "10.1/16",
            "10.1.0.0/33",
            "lb",
            "",
        ] {
            assert!(networks.add(wrong).is_err(), "{wrong}");
        }
        let contains = |text: &str| networks.contain(text.parse().unwrap());
        for inside in ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7", "2001:db8::1"] {
            assert!(contains(inside), "{inside}");
        }
        for outside in ["10.2.0.1", "192.0.2.8", "2001:db8:1::1", "::1"] {
            assert!(!contains(outside), "{outside}");
        }
        assert!(!networks.has_all_addresses());
        networks.add("::/0").unwrap();
        assert!(networks.has_all_addresses());
    }
}
