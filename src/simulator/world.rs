//! All that a running simulator has. Reading and changing the state goes through here.
//!
//! # Invariants
//! - The state is read and changed inside closures, which cannot wait for anything.
//! - A change is answered when it is in the state file, if there is one.

use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use serde_json::json;
use zeroize::Zeroizing;

use crate::simulator::callers::credentials::KmsCredentials;
use crate::simulator::callers::principals::Principals;
use crate::simulator::cloudtrail::Trail;
use crate::simulator::cloudwatch::CloudWatch;
use crate::simulator::counters::Counters;
use crate::simulator::events::Events;
use crate::simulator::proxy::link::{Link, Recipe};
use crate::simulator::proxy::tls::Identities;
use crate::simulator::state::State;
use crate::simulator::state::endpoint_services::EndpointServices;
use crate::simulator::state::file::StateFile;
use crate::simulator::state::last_usage::LastUsages;
use crate::simulator::wire::exception::{Exception, Kind};
use crate::sync::{blocking_task, poisoned};

/// All that a running simulator has.
pub(super) struct World {
    pub(super) identities: Identities,
    pub(super) events: Events,
    pub(super) counters: Counters,
    pub(super) cloudwatch: CloudWatch,
    pub(super) usages: LastUsages,
    /// The trail that is written; none: none.
    pub(super) trail: Option<Trail>,
    /// Who may call; none: anybody.
    pub(super) credentials: Option<KmsCredentials>,
    /// Tags and identity policies; none: identity policies allow everything.
    pub(super) principals: Option<Principals>,
    /// Cryptographic requests per second and store.
    pub(super) quota: u32,
    /// How long a proxy has for an answer.
    pub(super) timeout: Duration,
    pub(super) endpoint_services: EndpointServices,
    /// Time-outs of cryptographic operations are KMSInternalException.
    pub(super) internal_timeouts: bool,
    pub(super) state: RwLock<State>,
    pub(super) file: Option<Mutex<StateFile>>,
}

impl World {
    /// Looks something up.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(poisoned))
    }

    /// Changes something, or refuses and has changed nothing.
    pub(super) async fn change<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut State) -> Result<T, Exception>,
    ) -> Result<T, Exception> {
        let changed = change(&mut self.state.write().unwrap_or_else(poisoned))?;
        self.keep().await?;
        Ok(changed)
    }

    /// Changes something if there is something to change, which the closure says.
    pub(super) async fn change_if(
        self: &Arc<Self>,
        change: impl FnOnce(&mut State) -> Result<bool, Exception>,
    ) -> Result<(), Exception> {
        let is_changed = change(&mut self.state.write().unwrap_or_else(poisoned))?;
        match is_changed {
            true => self.keep().await,
            false => Ok(()),
        }
    }

    /// Writes the state down, also when whoever asked has gone away.
    async fn keep(self: &Arc<Self>) -> Result<(), Exception> {
        if self.file.is_none() {
            return Ok(());
        }
        let world = Arc::clone(self);
        let kept = blocking_task(move || world.write()).await;
        let failed = "KMS could not keep its state: see the simulator's events.";
        match kept {
            Ok(true) => Ok(()),
            _ => Err(Kind::KmsInternal.because(failed)),
        }
    }

    fn write(&self) -> bool {
        let Some(file) = &self.file else { return true };
        // What is written last is what was changed last: the state is read while the file is held.
        let file = file.lock().unwrap_or_else(poisoned);
        let text = self.read(|state| serde_json::to_vec(state).map(Zeroizing::new));
        let written = text
            .map_err(std::io::Error::from)
            .and_then(|text| file.write(&text));
        if let Err(error) = &written {
            let told = error.to_string();
            self.events
                .tell("state_not_kept", json!({ "error": told }), || {
                    format!("the state could not be written: {told}")
                });
        }
        written.is_ok()
    }

    /// A way to a proxy.
    pub(super) fn link(&self, recipe: Recipe) -> Result<Link, Exception> {
        let link = self.identities.link(recipe);
        link.map_err(|error| Kind::KmsInternal.because(error.to_string()))
    }
}
