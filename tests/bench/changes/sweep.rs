//! Measures a token without a proxy: the search for all its keys, and an encryption with one key or with all keys.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use xks_proxy::pkcs11::KEY_ATTRIBUTES;

use crate::connection::Outcome;
use crate::scene::Scene;

const PLAINTEXT: [u8; 32] = [0x70; 32];
const AAD: [u8; 203] = [0x61; 203];
const TAG_BITS: u64 = 128;

/// The token to measure. A new process measures it, because a library that has already read the token searches faster.
#[derive(Args)]
pub struct Sweep {
    /// The PKCS#11 library.
    #[arg(long, value_name = "PATH")]
    module: PathBuf,
    /// The label of the token.
    #[arg(long, value_name = "LABEL")]
    token: String,
    /// A file with the user PIN.
    #[arg(long, value_name = "FILE")]
    pin_file: PathBuf,
    /// The number of encryptions with one key, and with all keys alternately; 0 for none.
    #[arg(long, default_value = "0")]
    encryptions: usize,
}

/// The result of the measurement.
pub struct Costs {
    /// The time from loading the library until all attributes of all keys are read.
    pub search: Duration,
    /// CPU µs of an encryption with the same key each time.
    pub one: f64,
    /// CPU µs of an encryption with a different key each time.
    pub all: f64,
}

impl Costs {
    /// Measures the token in a new process of this program.
    pub fn measure_token(scene: &Scene, encryptions: usize) -> Outcome<Self> {
        let output = Command::new(std::env::current_exe()?)
            .args(["sweep", "--token", &scene.token])
            .arg("--module")
            .arg(&scene.module)
            .arg("--pin-file")
            .arg(scene.directory.join("pin"))
            .args(["--encryptions", &encryptions.to_string()])
            .output()?;
        let words = String::from_utf8(output.stdout)?;
        let numbers: Vec<f64> = words.split_whitespace().flat_map(str::parse).collect();
        let [search, one, all] = numbers[..] else {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        };
        Ok(Self {
            search: Duration::from_secs_f64(search),
            one,
            all,
        })
    }
}

impl Sweep {
    /// Searches, encrypts, and prints three numbers.
    pub fn run(&self) -> Outcome<()> {
        let start = Instant::now();
        let library = Pkcs11::new(&self.module)?;
        library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
        let session = self.log_in(&library)?;
        let keys = session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY)])?;
        for key in &keys {
            session.get_attributes(*key, &KEY_ATTRIBUTES)?;
        }
        let search = start.elapsed().as_secs_f64();
        let first = keys.get(..1).unwrap_or_default();
        let [one, all] = match self.encryptions {
            0 => [0.0, 0.0],
            count => {
                // The first use of a key reads it from the token.
                encrypt(&session, &keys, keys.len())?;
                [
                    encrypt(&session, first, count)?,
                    encrypt(&session, &keys, count)?,
                ]
            }
        };
        Ok(writeln!(io::stdout(), "{search} {one} {all}")?)
    }

    fn log_in(&self, library: &Pkcs11) -> Outcome<Session> {
        let pin = fs::read_to_string(&self.pin_file)?;
        let pin = AuthPin::new(pin.trim_end_matches(['\r', '\n']).into());
        for slot in library.get_slots_with_initialized_token()? {
            if library.get_token_info(slot)?.label() == self.token {
                let session = library.open_ro_session(slot)?;
                session.login(UserType::User, Some(&pin))?;
                return Ok(session);
            }
        }
        Err(format!("no token is labelled {}", self.token).into())
    }
}

/// Encrypts `count` times with these keys alternately. Returns the mean CPU time in µs.
fn encrypt(session: &Session, keys: &[ObjectHandle], count: usize) -> Outcome<f64> {
    let start = thread_cpu_time()?;
    for key in keys.iter().cycle().take(count) {
        let mut iv = [0; 12];
        session.generate_random_slice(&mut iv)?;
        let parameters = GcmParams::new(&mut iv, &AAD, TAG_BITS.into())?;
        session.encrypt(&Mechanism::AesGcm(parameters), *key, &PLAINTEXT)?;
    }
    let worked = thread_cpu_time()?.saturating_sub(start);
    Ok(worked.as_secs_f64() * 1e6 / count.max(1) as f64)
}

/// The first field of schedstat: nanoseconds on the CPU.
fn thread_cpu_time() -> Outcome<Duration> {
    let line = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = line.split_whitespace().next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}
