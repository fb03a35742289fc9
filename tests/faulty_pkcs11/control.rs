//! The control block: a memory-mapped file through which a test controls a fault-injecting module in another process, and reads its
//! counters.
//!
//! The module and the tests both compile this file, so all offsets are equal. If all fields are zero, the module behaves exactly like the
//! wrapped one. All fields are atomics, so that neither side waits for the other. A setting applies to calls that start after it.
#![expect(unsafe_code, reason = "reads a memory map through a raw pointer")]
#![expect(dead_code, reason = "the module and the tests each use only a part")]

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use memmap2::{MmapMut, MmapOptions, MmapRaw};

/// A count for `fail_next`: until `heal` or the next `fail_next`.
pub const FOREVER: u64 = u64::MAX;

/// The calls of a function that hang: all calls, the next one, or one that already hangs.
pub const HANGS_ALL: u64 = 1;
pub const HANGS_NEXT: u64 = 2;
pub const HANGS_ONE: u64 = 3;

macro_rules! functions {
    ($($name:ident)*) => {
        /// The functions of PKCS#11 2.40, in the order of its function list.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(clippy::enum_variant_names, reason = "C_CancelFunction is the standard's name")]
        pub enum Function { $($name),* }

        impl Function {
            /// All functions.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

functions! {
    Initialize Finalize GetInfo GetFunctionList
    GetSlotList GetSlotInfo GetTokenInfo GetMechanismList GetMechanismInfo InitToken InitPin SetPin
    OpenSession CloseSession CloseAllSessions GetSessionInfo GetOperationState SetOperationState
    Login Logout
    CreateObject CopyObject DestroyObject GetObjectSize GetAttributeValue SetAttributeValue
    FindObjectsInit FindObjects FindObjectsFinal
    EncryptInit Encrypt EncryptUpdate EncryptFinal DecryptInit Decrypt DecryptUpdate DecryptFinal
    DigestInit Digest DigestUpdate DigestKey DigestFinal
    SignInit Sign SignUpdate SignFinal SignRecoverInit SignRecover
    VerifyInit Verify VerifyUpdate VerifyFinal VerifyRecoverInit VerifyRecover
    DigestEncryptUpdate DecryptDigestUpdate SignEncryptUpdate DecryptVerifyUpdate
    GenerateKey GenerateKeyPair WrapKey UnwrapKey DeriveKey
    SeedRandom GenerateRandom GetFunctionStatus CancelFunction WaitForSlotEvent
}

/// How the device implements AES-GCM. The README describes each dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    AsWrapped,
    IvWrittenBack,
    IvAppended,
    IvPrepended,
    ShortParams,
    IvBitsRequired,
    NoGcm,
}

/// The source of IVs in dialects that generate them. All sources except `Random` simulate broken devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IvSource {
    Random,
    Zero,
    Constant,
}

/// A wrong output with `CKR_OK`. The README describes each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    Plaintext,
    ZeroTag,
    ShortOutput,
    WrongCiphertext,
    WrongPlaintext,
    RepeatedRandom,
}

impl Lie {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Plaintext,
        Self::ZeroTag,
        Self::ShortOutput,
        Self::WrongCiphertext,
        Self::WrongPlaintext,
        Self::RepeatedRandom,
    ];
}

/// How a call ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEnd {
    Signal(u8),
    Exit(u8),
}

impl ProcessEnd {
    const EXIT: u64 = 1 << 8;
    const SIGNAL: u64 = 2 << 8;

    fn code(self) -> u64 {
        match self {
            Self::Exit(code) => Self::EXIT | u64::from(code),
            Self::Signal(signal) => Self::SIGNAL | u64::from(signal),
        }
    }

    /// Decodes the value of the control block; `None` if it is 0.
    pub fn of(code: u64) -> Option<Self> {
        let number = u8::try_from(code & 0xff).ok()?;
        match code & !0xff {
            Self::EXIT => Some(Self::Exit(number)),
            Self::SIGNAL => Some(Self::Signal(number)),
            _ => None,
        }
    }
}

/// How a broken library harms its process. The README describes each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misdeed {
    Segfault = 1,
    Abort,
    Exit,
    Fork,
    Chatter,
}

impl Misdeed {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Segfault,
        Self::Abort,
        Self::Exit,
        Self::Fork,
        Self::Chatter,
    ];
}

/// The controls and counters of one function.
#[repr(C)]
pub struct FunctionBlock {
    pub calls: AtomicU64,
    pub injected: AtomicU64,
    pub stuck: AtomicU64,
    pub hang: AtomicU64,
    pub delay: AtomicU64,
    pub random_delay: AtomicU64,
    pub fail_code: AtomicU64,
    pub fail_count: AtomicU64,
    pub end: AtomicU64,
    pub misdeed: AtomicU64,
}

/// The content of the file.
#[repr(C)]
pub struct Block {
    // Controls, written by the test.
    pub removed: AtomicU64,
    pub session_limit: AtomicU64,
    pub pin_tries: AtomicU64,
    pub bad_tag_code: AtomicU64,
    pub dialect: AtomicU64,
    pub iv_source: AtomicU64,
    pub failing_key: AtomicU64,
    pub no_login: AtomicU64,
    pub read_only_code: AtomicU64,
    pub token_flags: AtomicU64,
    pub nul_padding: AtomicU64,
    pub unreadable: AtomicU64,
    pub unreadable_code: AtomicU64,
    // Events. Each increment is one event, which the module applies at its next call.
    pub session_epoch: AtomicU64,
    pub login_epoch: AtomicU64,
    pub finalize_epoch: AtomicU64,
    pub handle_epoch: AtomicU64,
    // Counters, written by the module.
    pub attached: AtomicU64,
    pub open_sessions: AtomicU64,
    pub sessions_opened: AtomicU64,
    pub logins: AtomicU64,
    pub login_failures: AtomicU64,
    pub wrong_pins: AtomicU64,
    pub in_flight: AtomicU64,
    pub max_in_flight: AtomicU64,
    pub finalize_races: AtomicU64,
    functions: [FunctionBlock; Function::ALL.len()],
    // Controls, written by the test.
    pub lie: AtomicU64,
    pub lie_count: AtomicU64,
}

impl Block {
    /// The controls and counters of `function`.
    #[expect(
        clippy::indexing_slicing,
        reason = "the array has one element per variant"
    )]
    pub fn function(&self, function: Function) -> &FunctionBlock {
        &self.functions[function as usize]
    }
}

/// A mapped control block.
pub struct Control {
    map: MmapRaw,
}

impl Control {
    /// Maps the control file. Creates it with zeros if it does not exist. The file must not be truncated while it is mapped.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).open(path)?;
        let len = size_of::<Block>();
        file.set_len(file.metadata()?.len().max(len as u64))?;
        let map = MmapOptions::new().len(len).map_raw(&file)?;
        Ok(Self { map })
    }

    /// A block without a file, for a module without tests.
    pub fn anonymous() -> io::Result<Self> {
        let map = MmapMut::map_anon(size_of::<Block>())?.into();
        Ok(Self { map })
    }

    /// The raw block.
    pub fn block(&self) -> &Block {
        // SAFETY: the map is page-aligned, as long as a Block, and lives as long as `self`. A Block consists of atomics, for which every bit
        // pattern is valid and concurrent changes are allowed.
        unsafe { &*self.map.as_ptr().cast::<Block>() }
    }
}

/// The controls.
impl Control {
    /// Delays each call of `function` by this time.
    pub fn set_delay(&self, function: Function, micros: u64) {
        self.block().function(function).delay.store(micros, SeqCst);
    }

    /// Delays each call of `function` by a random time up to this one.
    pub fn set_random_delay(&self, function: Function, micros: u64) {
        let block = self.block().function(function);
        block.random_delay.store(micros, SeqCst);
    }

    /// Lets calls of `function` hang until this is set to `false`.
    pub fn hang(&self, function: Function, hang: bool) {
        let block = self.block().function(function);
        block.hang.store(hang.into(), SeqCst);
    }

    /// Lets calls of `function` end the process.
    pub fn end_process(&self, function: Function, end: ProcessEnd) {
        let block = self.block().function(function);
        block.end.store(end.code(), SeqCst);
    }

    /// Lets only the next call of `function` hang, until `hang` or `heal`.
    pub fn hang_next(&self, function: Function) {
        self.block()
            .function(function)
            .hang
            .store(HANGS_NEXT, SeqCst);
    }

    /// Lets the next `count` calls of `function` return `code` without effect. See `FOREVER`.
    pub fn fail_next(&self, function: Function, code: u64, count: u64) {
        let block = self.block().function(function);
        block.fail_count.store(0, SeqCst);
        block.fail_code.store(code, SeqCst);
        block.fail_count.store(count, SeqCst);
    }

    /// Lets the next call of `function` harm its process in this way, once.
    pub fn commit_next(&self, function: Function, misdeed: Misdeed) {
        let block = self.block().function(function);
        block.misdeed.store(misdeed as u64, SeqCst);
    }

    /// Returns whether the call that `commit_next` selected has not happened yet.
    pub fn is_to_commit(&self, function: Function) -> bool {
        self.block().function(function).misdeed.load(SeqCst) != 0
    }

    /// Limits `fail_next` and `end_process` of encryption and decryption functions to the key with this label.
    pub fn fail_only_key(&self, label: &str) {
        let failing_key = hash(label.as_bytes());
        self.block().failing_key.store(failing_key, SeqCst);
    }

    /// Removes the token from its slot, which closes its sessions, or inserts it again.
    pub fn set_removed(&self, removed: bool) {
        self.block().removed.store(removed.into(), SeqCst);
        if removed {
            self.lose_sessions();
        }
    }

    /// Closes all open sessions.
    pub fn lose_sessions(&self) {
        self.block().session_epoch.fetch_add(1, SeqCst);
    }

    /// Logs the user out until the next `C_Login`.
    pub fn lose_login(&self) {
        self.block().login_epoch.fetch_add(1, SeqCst);
    }

    /// Finalizes the wrapped module, like a second user of the library in the same process.
    pub fn finalize_behind_back(&self) {
        self.block().finalize_epoch.fetch_add(1, SeqCst);
    }

    /// Invalidates all object handles that were returned so far.
    pub fn stale_handles(&self) {
        self.block().handle_epoch.fetch_add(1, SeqCst);
    }

    /// Sets the maximum number of sessions; 0: no limit.
    pub fn set_session_limit(&self, limit: u64) {
        self.block().session_limit.store(limit, SeqCst);
    }

    /// Locks the token after this many wrong PINs; 0: never.
    pub fn set_pin_tries(&self, tries: u64) {
        self.block().pin_tries.store(tries, SeqCst);
    }

    /// Sets the return code of `C_Decrypt` for a ciphertext that fails authentication; 0: that of the wrapped module.
    pub fn set_bad_tag_code(&self, code: u64) {
        self.block().bad_tag_code.store(code, SeqCst);
    }

    /// Sets the dialect of operations that start later.
    pub fn set_dialect(&self, dialect: Dialect) {
        self.block().dialect.store(dialect as u64, SeqCst);
    }

    /// Sets the source of IVs.
    pub fn set_iv_source(&self, source: IvSource) {
        self.block().iv_source.store(source as u64, SeqCst);
    }

    /// Sets the return code of `C_OpenSession` for a read-only session; 0: that of the wrapped module.
    pub fn reject_read_only(&self, code: u64) {
        self.block().read_only_code.store(code, SeqCst);
    }

    /// Sets additional flags of the token. With `CKF_CLOCK_ON_TOKEN`, its `utcTime` is invalid.
    pub fn set_token_flags(&self, flags: u64) {
        self.block().token_flags.store(flags, SeqCst);
    }

    /// Pads the texts of the token with NULs instead of blanks.
    pub fn set_nul_padding(&self, padded: bool) {
        self.block().nul_padding.store(padded.into(), SeqCst);
    }

    /// Sets the return code of `C_GetAttributeValue` for the objects with this label; 0: that of the wrapped module.
    pub fn set_unreadable(&self, label: &str, code: u64) {
        let block = self.block();
        block.unreadable.store(hash(label.as_bytes()), SeqCst);
        block.unreadable_code.store(code, SeqCst);
    }

    /// Clears `CKF_LOGIN_REQUIRED` of the token. Its public objects can be used without a login.
    pub fn set_no_login(&self) {
        self.block().no_login.store(1, SeqCst);
    }

    /// Falsifies the output of the next `count` operations to which this kind applies. See `FOREVER`.
    pub fn lie(&self, lie: Lie, count: u64) {
        self.block().lie_count.store(0, SeqCst);
        self.block().lie.store(lie as u64, SeqCst);
        self.block().lie_count.store(count, SeqCst);
    }

    /// The number of operations that will still be falsified.
    pub fn lies_left(&self) -> u64 {
        self.block().lie_count.load(SeqCst)
    }

    /// Ends delays, hangs, ends of the process, failures, wrong outputs, removal and the session limit. Dialect, bad-tag code and PIN lock stay,
    /// because they are properties of the device.
    pub fn clear_faults(&self) {
        for function in Function::ALL {
            let block = self.block().function(*function);
            block.hang.store(0, SeqCst);
            block.end.store(0, SeqCst);
            block.delay.store(0, SeqCst);
            block.random_delay.store(0, SeqCst);
            block.fail_count.store(0, SeqCst);
            block.misdeed.store(0, SeqCst);
        }
        self.block().lie_count.store(0, SeqCst);
        self.block().failing_key.store(0, SeqCst);
        self.set_removed(false);
        self.set_session_limit(0);
    }
}

/// Hashes a label (FNV-1a).
pub fn hash(label: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    label.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// The counters of the module.
        impl Control {
            $($(#[$doc])* pub fn $name(&self) -> u64 { self.block().$name.load(SeqCst) })*
        }
    };
}

counters! {
    /// How often a module was loaded with this file.
    attached
    /// Open sessions. Lost sessions count until the next call of the module.
    open_sessions
    /// Sessions opened so far.
    sessions_opened
    /// Successful logins. `calls(Function::Login)` counts the attempts.
    logins
    /// Failed logins.
    login_failures
    /// Logins that failed with `CKR_PIN_INCORRECT`.
    wrong_pins
    /// Calls inside the module, including hanging ones.
    in_flight
    /// The maximum number of concurrent calls so far.
    max_in_flight
    /// How often the client called `C_Finalize` during other calls.
    finalize_races
}

/// The counters of one function.
impl Control {
    /// Calls so far.
    pub fn calls(&self, function: Function) -> u64 {
        self.block().function(function).calls.load(SeqCst)
    }

    /// Calls that failed because of `fail_next`.
    pub fn injected(&self, function: Function) -> u64 {
        self.block().function(function).injected.load(SeqCst)
    }

    /// Calls that currently hang.
    pub fn stuck(&self, function: Function) -> u64 {
        self.block().function(function).stuck.load(SeqCst)
    }
}
