//! The devices that serve one key store: all of them hold the same keys.

use std::sync::Arc;

use super::{DeviceReport, KeyManager};

/// An ordered list of devices; the first usable one serves.
#[derive(Clone)]
pub struct Fleet(Vec<Arc<dyn KeyManager>>);

impl Fleet {
    /// The fleet, in order of preference. It is never empty: the configuration has seen to that.
    pub fn new(devices: Vec<Arc<dyn KeyManager>>) -> Self {
        Self(devices)
    }

    /// The device to ask: the first that is usable, else the first at all, which then says itself why it is not.
    pub fn choose(&self) -> Option<&Arc<dyn KeyManager>> {
        self.0
            .iter()
            .find(|device| device.is_usable())
            .or_else(|| self.0.first())
    }

    /// What each device's last check found, in order.
    pub fn reports(&self) -> Vec<DeviceReport> {
        self.0.iter().map(|device| device.report()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeKeyManager;
    use super::*;

    #[test]
    fn the_first_usable_device_serves() {
        let (a, b) = (FakeKeyManager::named("a"), FakeKeyManager::named("b"));
        let fleet = Fleet::new(vec![a.clone(), b.clone()]);
        let chosen = || fleet.choose().unwrap().name().to_string();
        assert_eq!(chosen(), "a");
        a.set_usable(false);
        assert_eq!(chosen(), "b");
        b.set_usable(false);
        assert_eq!(chosen(), "a", "somebody must say why");
        assert!(Fleet::new(vec![]).choose().is_none());
        assert_eq!(fleet.reports().len(), 2);
    }
}
