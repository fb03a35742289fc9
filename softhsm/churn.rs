//! `softhsm-token churn`: a program that makes and deletes keys while others use the token.

use std::io::{self, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectHandle};
use cryptoki::session::Session;

use crate::place::{Outcome, Place};

/// The number of its keys in the token at the same time.
const KEPT: usize = 4;

/// True when standard input has ended.
static IS_OVER: AtomicBool = AtomicBool::new(false);

#[derive(Args)]
pub struct Churn {
    #[command(flatten)]
    place: Place,
    /// The number of keys that are made and deleted per second.
    #[arg(long, value_name = "N", default_value = "24", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
}

impl Churn {
    pub fn run(&self) -> Outcome<()> {
        let library = self.place.library()?;
        let session = self.place.login(&library)?;
        thread::spawn(|| {
            // A read error also ends the program: nobody could stop it otherwise.
            let _ = io::stdin().read(&mut [0]);
            IS_OVER.store(true, Ordering::Relaxed);
        });
        let (started, mut made) = (Instant::now(), 0);
        let mut keys = Vec::with_capacity(KEPT + 1);
        super::say("churning")?;
        while !IS_OVER.load(Ordering::Relaxed) {
            // Some tokens fail when two processes write at the same time.
            keys.extend(make(&session, made).ok());
            made += 1;
            if keys.len() > KEPT {
                drop(session.destroy_object(keys.remove(0)));
            }
            let due = started + Duration::from_secs(1) * made / self.rate;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        for key in keys {
            drop(session.destroy_object(key));
        }
        let rate = f64::from(made) / started.elapsed().as_secs_f64();
        super::say(&format!("{made} keys made and deleted, {rate:.1} a second"))
    }
}

fn make(session: &Session, number: u32) -> Outcome<ObjectHandle> {
    let template = [
        Attribute::Label(format!("churn-{number}").into_bytes()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::ValueLen(32.into()),
    ];
    Ok(session.generate_key(&Mechanism::AesKeyGen, &template)?)
}
