//! Sessions that hang inside the HSM.

use super::state::{Purpose, Supervisor};

impl Supervisor {
    /// Removes hanging sessions from the pool. Replaces the worker if other sessions still work; kills it if all hang.
    pub(super) fn look_for_hanging_sessions(&mut self) {
        let Some(serving) = &self.serving else { return };
        let (shared, life) = (&self.shared, &serving.life);
        let patience = shared.settings.load().hang_timeout;
        let ready = life
            .crew
            .sessions
            .iter()
            .filter(|session| session.is_ready());
        let (mut hanging, mut new, mut others) = (0, 0, 0);
        for session in ready {
            if !session.slot.is_lost() && !shared.load.hangs(&session.slot, patience) {
                others += 1;
                continue;
            }
            hanging += 1;
            if session.slot.give_up() {
                new += 1;
                shared.pool.remove(session);
            }
        }
        if new == 0 {
            return;
        }
        let hsm = &shared.name;
        tracing::warn!(%hsm, hanging, others, "sessions hang inside the HSM; starting another worker");
        match others {
            0 => {
                life.process.kill();
                let reason = format!("all {hanging} sessions hang inside the HSM");
                let worker = life.worker();
                self.failed(worker, &reason);
            }
            _ => self.replace(Purpose::Hang),
        }
    }
}
