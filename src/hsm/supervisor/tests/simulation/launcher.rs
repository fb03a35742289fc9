//! The launcher of the simulation.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::worker::FakeWorker;
use super::{SESSIONS, Simulation};
use crate::hsm::launcher_client::StartedWorker;
use crate::hsm::launcher_client::fake_launcher::{FakeLauncher, LauncherRequest, PendingStart};
use crate::hsm_protocol::packet;
use crate::sync::schedule::point;

impl Simulation {
    /// The launcher: starts and kills workers.
    pub(in crate::hsm::supervisor::tests) fn launch(&self) {
        let mut launcher = self.launcher.lock().unwrap().take().unwrap();
        while !self.is_over() {
            match launcher.next() {
                Some(LauncherRequest::Start(starting)) => self.start(&launcher, starting),
                Some(LauncherRequest::Kill(number)) => self.kill(number),
                None => {}
            }
            point();
        }
        *self.launcher.lock().unwrap() = Some(launcher);
    }

    fn start(&self, launcher: &FakeLauncher, starting: PendingStart) {
        let number = u32::try_from(self.workers().len()).unwrap() + 1;
        let pairs = (0..SESSIONS).map(|_| packet::pair().unwrap());
        let (of_front, sockets): (Vec<_>, Vec<_>) = pairs.unzip();
        let (control, of_worker) = packet::pair().unwrap();
        let (output, written) = rustix::pipe::pipe().unwrap();
        let (ended, end) = oneshot::channel();
        let is_rejected = |left: usize| left.checked_sub(1);
        let rejects =
            self.to_reject
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_rejected);
        let worker = FakeWorker {
            number,
            view: None,
            control: of_worker,
            sockets,
            rejects: rejects.is_ok(),
            has_reported: false,
            is_dead: false,
            begun: [false; SESSIONS],
            over: [false; SESSIONS],
            end: Some(ended),
            _output: written,
        };
        self.workers
            .lock()
            .unwrap()
            .push(Arc::new(Mutex::new(worker)));
        starting.started(Ok(StartedWorker {
            process: launcher.process(number),
            control,
            output,
            sessions: of_front,
            end,
        }));
    }

    pub(super) fn kill(&self, number: u32) {
        for worker in self.workers() {
            let mut worker = worker.lock().unwrap();
            worker.is_dead |= worker.number == number;
        }
    }
}
