//! The worker at work: the token, with the channels to the front.

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

/// How long the sessions may take to close once the front has ended the control channel. The front kills a worker that takes longer.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Opens the token and serves it until the front ends the control channel.
///
/// # Errors
/// When the settings cannot be read, or the system gives no thread.
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
    let (of_orders, orders) = (token.clone(), Arc::clone(&control));
    // Without the front nobody needs this process.
    essential_thread("orders", move || {
        follow(&orders, &of_orders);
        of_orders.end();
        std::thread::sleep(CLOSE_PATIENCE);
        End::Unexpected("the sessions do not close".into())
    })?;
    serve(&token, parts.sessions, &control);
    Ok(())
}

/// Reads the PIN; then the process gives up what a PKCS#11 library does not need. Returns why the token must not be opened.
pub(super) fn prepare(settings: &Pkcs11Settings) -> Result<(Option<Secret>, Confinement), String> {
    let pin = settings.pin.clone();
    // In a thread that ends: a sandbox holds for one thread, and reading a file with a time limit starts another one.
    let read = thread("pin", move || pin.read()).map_err(|error| format!("no thread: {error}"))?;
    let pin = match read.join() {
        Ok(pin) => pin.map_err(|error| format!("the PIN: {error}"))?,
        Err(_) => return Err("the PIN cannot be read".to_owned()),
    };
    Ok((pin, Confinement::apply(settings)?))
}

/// A failed opening is reported with the paths that the sandbox denies, unless the PIN was the reason.
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

/// Does what the front orders until it ends the channel, or sends what no front sends.
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
                    return tracing::error!(%error, "the front sent a wrong order; this worker ends");
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
