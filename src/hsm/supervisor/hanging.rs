//! Sessions that hang inside the HSM.

use super::state::{Purpose, Supervisor};

impl Supervisor {
    /// Removes hanging sessions from the pool. Replaces the worker if other sessions still work; kills it if all hang.
    pub(super) fn check_hanging_sessions(&mut self) {
        let Some(serving) = &self.serving else { return };
        let (state, running) = (&self.state, &serving.running);
        let patience = state.settings.load().hang_timeout;
        let ready = running
            .view
            .sessions
            .iter()
            .filter(|session| session.is_ready());
        let (mut hanging, mut new, mut others) = (0, 0, 0);
        for session in ready {
            if !session.slot.is_lost() && !state.load.hangs(&session.slot, patience) {
                others += 1;
                continue;
            }
            hanging += 1;
            if session.slot.mark_lost() {
                new += 1;
                state.pool.remove(session);
            }
        }
        if new == 0 {
            return;
        }
        let hsm = &state.name;
        tracing::warn!(%hsm, hanging, others, "sessions hang inside the HSM; starting another worker");
        match others {
            0 => {
                running.process.kill();
                let reason = format!("all {hanging} sessions hang inside the HSM");
                let worker = running.number();
                self.failed(worker, &reason);
            }
            _ => self.replace(Purpose::Hang),
        }
    }
}
