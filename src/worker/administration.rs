//! The worker of a command: opens the token on request, and answers one request after the other.
//!
//! # Invariants
//! - Only a worker of a command accepts these requests. The command line fixes the purpose of a worker; the launcher chooses it, not the front.
//! - A request can use only keys that this worker has listed or created.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

use super::confinement::Confinement;
use super::error::WorkerError;
use super::launcher::logins::Logins;
use super::launcher::parts::WorkerParts;
use super::run::prepare;
use crate::ekm::KeySelector;
use crate::hsm_protocol::administration::{Answer, Request};
use crate::hsm_protocol::packet::{self, Wait};
use crate::hsm_protocol::{MAX_CONTROL_FRAME, NewKey, Pkcs11Settings};
use crate::pkcs11::{CreateKeyError, KeyObject, OpenToken, TokenKeys};

/// Answers requests until the command closes the channel.
///
/// # Errors
/// When the settings cannot be decoded, or the command sends an invalid frame.
pub(super) fn run(parts: WorkerParts) -> Result<(), WorkerError> {
    let settings = Pkcs11Settings::decode(&parts.settings).map_err(WorkerError::Settings)?;
    let mut administrator = Administrator {
        logins: Logins::new(parts.launcher, &settings.pin),
        settings,
        confinement: None,
        token: None,
        keys: HashMap::new(),
    };
    while let Some(request) = next(&parts.control)? {
        for answer in administrator.answer(request) {
            let frame = answer.to_frame().map_err(io::Error::other)?;
            packet::send(&parts.control, &frame, &[], Wait::Yes)?;
        }
    }
    administrator.token.into_iter().for_each(OpenToken::close);
    Ok(())
}

fn next(control: &OwnedFd) -> io::Result<Option<Request>> {
    loop {
        let packet = match packet::receive(control, MAX_CONTROL_FRAME, Wait::Yes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            packet => packet?,
        };
        let Some(packet) = packet else {
            return Ok(None);
        };
        return Request::from_frame(&packet.bytes)
            .map(Some)
            .map_err(io::Error::other);
    }
}

struct Administrator {
    settings: Pkcs11Settings,
    logins: Logins,
    /// The sandbox, once it is applied.
    confinement: Option<Confinement>,
    token: Option<OpenToken>,
    /// The keys that the command can use, by number.
    keys: HashMap<u64, KeyObject>,
}

impl Administrator {
    fn answer(&mut self, request: Request) -> Vec<Answer> {
        let answer = match request {
            Request::OpenToken => self.open(),
            Request::ListKeys => {
                return self
                    .list()
                    .unwrap_or_else(|reason| vec![Answer::failed(&reason)]);
            }
            Request::MayHave(name) => self.may_have(&name.into()),
            Request::CreateKey(new) => self.create(&new),
            other => self.with_key(&other),
        };
        vec![answer.unwrap_or_else(|reason| Answer::failed(&reason))]
    }

    fn open(&mut self) -> Result<Answer, String> {
        if self.token.is_some() {
            return Err("the token is open already".to_owned());
        }
        let (pin, confinement) = prepare(&self.settings)?;
        self.confinement = Some(confinement);
        let token = OpenToken::open(self.settings.clone(), pin, &self.logins);
        let token = token.map_err(|error| match self.logins.was_rejected() {
            true => error.to_string(),
            false => self.explain(error.to_string()),
        })?;
        let answer = Answer::opened(&token.describe(), token.gcm());
        self.token = Some(token);
        Ok(answer)
    }

    fn list(&mut self) -> Result<Vec<Answer>, String> {
        let listed = self.token()?.list_keys();
        let TokenKeys { keys, unreadable } = listed.map_err(|error| error.to_string())?;
        self.keys = keys.into_iter().map(|key| (key.key.number, key)).collect();
        let mut keys: Vec<_> = self.keys.values().map(|key| key.key.clone()).collect();
        keys.sort_by_key(|key| key.number);
        Ok(Answer::of_keys(
            keys,
            unreadable.map(|error| error.to_string()),
        ))
    }

    fn may_have(&self, name: &KeySelector) -> Result<Answer, String> {
        Ok(Answer::Is(self.token()?.may_have(name)))
    }

    fn create(&mut self, new: &NewKey) -> Result<Answer, String> {
        let token = self.token.as_mut().ok_or_else(not_open)?;
        let key = token.create(new).map_err(|error| match error {
            // A software token stores a new key in a file, which the sandbox may deny.
            CreateKeyError::Rejected(_) => self.explain(error.to_string()),
            error => error.to_string(),
        })?;
        let answer = Answer::KeyCreated(key.key.clone());
        self.keys.insert(key.key.number, key);
        Ok(answer)
    }

    /// Answers a request that uses one key.
    fn with_key(&self, request: &Request) -> Result<Answer, String> {
        let token = self.token()?;
        match request {
            Request::TryKey(key) => token.try_key(self.key(*key)?).map(|()| Answer::Done),
            Request::EncryptTest(key) => {
                let encrypted = token.seal(self.key(*key)?);
                encrypted
                    .map(Answer::TestEncrypted)
                    .map_err(|error| error.to_string())
            }
            Request::DecryptsTest(key, encrypted) => {
                let opens = token.opens(self.key(*key)?, encrypted);
                opens.map(Answer::Is).map_err(|error| error.to_string())
            }
            Request::Authenticates {
                key,
                aad,
                ciphertext,
            } => {
                let made = token.authenticates(self.key(*key)?, aad, ciphertext);
                made.map(Answer::Is).map_err(|error| error.to_string())
            }
            _ => Err("the request names no key".to_owned()),
        }
    }

    /// Adds the paths that the sandbox denies to the reason.
    fn explain(&self, reason: String) -> String {
        match &self.confinement {
            Some(confinement) => confinement.explain(reason),
            None => reason,
        }
    }

    fn token(&self) -> Result<&OpenToken, String> {
        self.token.as_ref().ok_or_else(not_open)
    }

    fn key(&self, number: u64) -> Result<&KeyObject, String> {
        let key = self.keys.get(&number);
        key.ok_or_else(|| "the key was not listed before".to_owned())
    }
}

fn not_open() -> String {
    "the token is not open".to_owned()
}
