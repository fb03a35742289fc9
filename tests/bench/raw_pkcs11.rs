//! `raw-pkcs11`: the baseline of `tests/bench/run`.
//!
//! The minimum cost of a proxy's Encrypt with this module and machine: a random IV, `C_EncryptInit` and one `C_Encrypt` of 32 bytes with
//! 203 bytes of AAD (200 and their framing) in a loop, with one session, one thread and a cached key handle.
#![expect(
    unsafe_code,
    reason = "the safe API calls C_Encrypt twice; the baseline is the C call itself"
)]

use std::error::Error;
use std::ffi::c_void;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::ptr;
use std::time::{Duration, Instant};

use clap::Parser;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use cryptoki_sys::{
    CK_BYTE, CK_GCM_PARAMS, CK_MECHANISM, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_ULONG,
    CKM_AES_GCM, CKR_OK,
};

const PLAINTEXT: usize = 32;
const AAD: usize = 203;
const IV: usize = 12;
const TAG: usize = 16;

/// Encrypts in a loop through PKCS#11, and prints the cost of one encryption.
#[derive(Parser)]
#[command(name = "raw-pkcs11")]
struct Arguments {
    /// The PKCS#11 library.
    #[arg(long, value_name = "PATH")]
    module: PathBuf,
    /// The label of the token.
    #[arg(long, value_name = "LABEL")]
    token: String,
    /// A file that holds the user PIN.
    #[arg(long, value_name = "FILE")]
    pin_file: PathBuf,
    /// CKA_LABEL of the key.
    #[arg(long)]
    label: String,
    /// The duration.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let Err(failure) = run(&Arguments::parse()) else {
        return ExitCode::SUCCESS;
    };
    // A closed error stream is not an error.
    let _ = writeln!(io::stderr(), "raw-pkcs11: {failure}");
    ExitCode::FAILURE
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let library = Pkcs11::new(&arguments.module)?;
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let session = login(&library, arguments)?;
    let mut device = Device {
        calls: Calls::load(&arguments.module)?,
        session: session.handle(),
        key: key(&session, &arguments.label)?.handle(),
    };
    report(&measure(
        &mut device,
        Duration::from_secs(arguments.seconds),
    )?)
}

fn login(library: &Pkcs11, arguments: &Arguments) -> Outcome<Session> {
    let slot = slot(library, &arguments.token)?;
    let pin = fs::read_to_string(&arguments.pin_file)?;
    let session = library.open_ro_session(slot)?;
    session.login(
        UserType::User,
        Some(&AuthPin::new(pin.trim_end_matches(['\r', '\n']).into())),
    )?;
    Ok(session)
}

fn slot(library: &Pkcs11, label: &str) -> Outcome<Slot> {
    for slot in library.get_slots_with_initialized_token()? {
        if library.get_token_info(slot)?.label() == label {
            return Ok(slot);
        }
    }
    Err(format!("no token is labelled {label}").into())
}

fn key(session: &Session, label: &str) -> Outcome<ObjectHandle> {
    match session
        .find_objects(&[Attribute::Label(label.into())])?
        .as_slice()
    {
        [key] => Ok(*key),
        found => Err(format!("{} keys are labelled {label}", found.len()).into()),
    }
}

struct Figures {
    encryptions: u64,
    wall: Duration,
    cpu: Duration,
}

fn measure(device: &mut Device, length: Duration) -> Outcome<Figures> {
    device.encrypt()?; // the first use of a key loads it
    let cpu = thread_cpu_time()?;
    let start = Instant::now();
    let mut encryptions = 0;
    while start.elapsed() < length {
        device.encrypt()?;
        encryptions += 1;
    }
    let wall = start.elapsed();
    Ok(Figures {
        encryptions,
        wall,
        cpu: thread_cpu_time()?.saturating_sub(cpu),
    })
}

/// The first field of schedstat, in nanoseconds. `stat` has a resolution of 10 ms.
fn thread_cpu_time() -> Outcome<Duration> {
    let line = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = line.split_whitespace().next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

fn report(figures: &Figures) -> Outcome<()> {
    let encryptions = figures.encryptions as f64;
    Ok(writeln!(
        io::stdout(),
        "requests={} per_second={:.0} cpu_us={:.1} errors=0",
        figures.encryptions,
        encryptions / figures.wall.as_secs_f64(),
        figures.cpu.as_secs_f64() * 1e6 / encryptions,
    )?)
}

struct Device {
    calls: Calls,
    session: CK_SESSION_HANDLE,
    key: CK_OBJECT_HANDLE,
}

impl Device {
    fn encrypt(&mut self) -> Outcome<()> {
        let (mut iv, mut aad, mut plaintext) = ([0; IV], [0x61; AAD], [0x70; PLAINTEXT]);
        let mut output = [0; PLAINTEXT + TAG];
        let mut length = output.len() as CK_ULONG;
        // SAFETY: the session is open while `run`'s `Session` lives, and the length is that of the buffer.
        checked("C_GenerateRandom", unsafe {
            (self.calls.random)(self.session, iv.as_mut_ptr(), IV as CK_ULONG)
        })?;
        let mut parameters = parameters(&mut iv, &mut aad);
        let mut mechanism = CK_MECHANISM {
            mechanism: CKM_AES_GCM,
            pParameter: ptr::from_mut(&mut parameters).cast::<c_void>(),
            ulParameterLen: size_of::<CK_GCM_PARAMS>() as CK_ULONG,
        };
        // SAFETY: the mechanism points to parameters, IV and AAD that outlive both calls.
        checked("C_EncryptInit", unsafe {
            (self.calls.init)(self.session, &mut mechanism, self.key)
        })?;
        // SAFETY: each pointer has the length of its buffer.
        checked("C_Encrypt", unsafe {
            (self.calls.encrypt)(
                self.session,
                plaintext.as_mut_ptr(),
                PLAINTEXT as CK_ULONG,
                output.as_mut_ptr(),
                &mut length,
            )
        })
    }
}

fn parameters(iv: &mut [u8; IV], aad: &mut [u8; AAD]) -> CK_GCM_PARAMS {
    CK_GCM_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: IV as CK_ULONG,
        ulIvBits: (IV * 8) as CK_ULONG,
        pAAD: aad.as_mut_ptr(),
        ulAADLen: AAD as CK_ULONG,
        ulTagBits: (TAG * 8) as CK_ULONG,
    }
}

fn checked(function: &str, code: CK_RV) -> Outcome<()> {
    match code {
        CKR_OK => Ok(()),
        code => Err(format!("{function} returned {code:#x}").into()),
    }
}

type Random = unsafe extern "C" fn(CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG) -> CK_RV;
type Init = unsafe extern "C" fn(CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE) -> CK_RV;
type Encrypt = unsafe extern "C" fn(
    CK_SESSION_HANDLE,
    *mut CK_BYTE,
    CK_ULONG,
    *mut CK_BYTE,
    *mut CK_ULONG,
) -> CK_RV;

/// The three calls of an encryption, from the library's function list.
struct Calls {
    random: Random,
    init: Init,
    encrypt: Encrypt,
    /// Keeps the code of the functions mapped.
    _library: cryptoki_sys::Pkcs11,
}

impl Calls {
    /// Loads the library a second time: the loader returns the copy that `run` has initialized.
    fn load(module: &Path) -> Outcome<Self> {
        // SAFETY: a PKCS#11 library runs code when it is loaded; this one was loaded just before.
        let library = unsafe { cryptoki_sys::Pkcs11::new(module)? };
        let mut list = ptr::null_mut();
        // SAFETY: `list` is valid for writing a pointer.
        checked("C_GetFunctionList", unsafe {
            library.C_GetFunctionList(&mut list)
        })?;
        // SAFETY: after CKR_OK it points to a static table of the library, or is null in a broken library.
        let list = unsafe { list.as_ref() }.ok_or("the library has no function list")?;
        Ok(Self {
            random: list.C_GenerateRandom.ok_or("no C_GenerateRandom")?,
            init: list.C_EncryptInit.ok_or("no C_EncryptInit")?,
            encrypt: list.C_Encrypt.ok_or("no C_Encrypt")?,
            _library: library,
        })
    }
}
