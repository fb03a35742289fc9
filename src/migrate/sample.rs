//! The parts of the sample's settings that have a counterpart in the configuration.

use super::hsm::Hsm;
use super::server::Server;
use super::stores::Store;

/// The settings.
pub(super) struct Sample {
    pub(super) server: Server,
    pub(super) hsm: Hsm,
    pub(super) stores: Vec<Store>,
}
