//! The second stage of a worker of the service: opens the token and serves the jobs of the front.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::channels::{ControlChannel, SessionChannel};
use super::confinement::Confinement;
use super::error::WorkerError;
use super::launcher::logins::Logins;
use super::launcher::parts::WorkerParts;
use super::log;
use crate::ekm::{ExpectedKey, KeySelector};
use crate::hsm_protocol::{Expected, ExpectedList, News, Order, Pkcs11Settings};
use crate::pkcs11::Token;
use crate::secret::Secret;
use crate::sync::{End, essential_thread, thread};

/// How long the sessions may take to close after the front closed the control channel. The front kills a worker that takes longer.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Opens the token and serves jobs until the front closes the control channel.
///
/// # Errors
/// When the settings cannot be decoded, or a thread cannot be started.
pub(super) fn run(parts: WorkerParts) -> Result<(), WorkerError> {
    let settings = Pkcs11Settings::decode(&parts.settings).map_err(WorkerError::Settings)?;
    let control = Arc::new(ControlChannel::new(parts.control));
    log::start(&control);
    let to_front = Arc::clone(&control);
    let (pin, confinement) = match prepare(&settings) {
        Ok(prepared) => prepared,
        Err(reason) => {
            control.send(&News::NotOpened {
                reason,
                is_final: false,
                is_limit: false,
            });
            return Ok(());
        }
    };
    let logins = Arc::new(Logins::new(parts.launcher, &settings.pin));
    let token = Token::new(
        settings,
        pin,
        logins,
        Arc::new(move |news| to_front.send(&explained(news, &confinement))),
    );
    let (ordered, orders) = (token.clone(), Arc::clone(&control));
    // The process must end when the front has closed the channel.
    essential_thread("orders", move || {
        follow(&orders, &ordered);
        ordered.end();
        std::thread::sleep(CLOSE_PATIENCE);
        End::Unexpected("the sessions do not close".into())
    })?;
    serve(&token, parts.sessions, &control);
    Ok(())
}

/// Reads the PIN, then applies the sandbox.
///
/// # Errors
/// Why the token must not be opened.
pub(super) fn prepare(settings: &Pkcs11Settings) -> Result<(Option<Secret>, Confinement), String> {
    let pin = settings.pin.clone();
    // In a separate thread that ends: the sandbox needs a process with one thread, and reading with a time limit starts another thread.
    let read = thread("pin", move || pin.read()).map_err(|error| format!("no thread: {error}"))?;
    let pin = match read.join() {
        Ok(pin) => pin.map_err(|error| format!("the PIN: {error}"))?,
        Err(_) => return Err("the PIN cannot be read".to_owned()),
    };
    Ok((pin, Confinement::apply(settings)?))
}

/// Adds the paths that the sandbox denies to the report of a failed opening, unless the PIN was the reason.
fn explained(news: News, confinement: &Confinement) -> News {
    match news {
        News::NotOpened {
            reason,
            is_final: false,
            is_limit,
        } => News::NotOpened {
            reason: confinement.explain(reason),
            is_final: false,
            is_limit,
        },
        news => news,
    }
}

fn serve(token: &Token, sessions: Vec<OwnedFd>, control: &Arc<ControlChannel>) {
    let sessions = sessions.into_iter();
    token.serve(
        sessions
            .map(|socket| SessionChannel::new(socket, control))
            .collect(),
    );
}

/// Follows the orders of the front until it closes the channel or sends an invalid order.
fn follow(control: &ControlChannel, token: &Token) {
    let mut list = ExpectedList::default();
    while let Some(order) = control.next() {
        match order {
            Order::HeldKeys => token.held_keys(),
            Order::Proved(objects) => token.recall_proofs(objects),
            Order::Expect {
                is_first,
                is_last,
                keys,
            } => match list.add(is_first, is_last, keys) {
                Ok(None) => {}
                Ok(Some(keys)) => token.expect_keys(keys.into_iter().map(expected).collect()),
                Err(error) => {
                    return tracing::error!(%error, "the front sent an invalid order; this worker ends");
                }
            },
        }
    }
}

fn expected((key, encrypts): Expected) -> ExpectedKey {
    ExpectedKey {
        selector: Arc::new(KeySelector::from(key)),
        encrypts,
    }
}
