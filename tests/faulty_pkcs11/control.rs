//! The control block: a memory-mapped file through which a test steers and reads a fault-injecting
//! module that runs inside another process.
//!
//! The module and the tests both compile this file, so they agree on every offset. All zero means:
//! behave exactly like the wrapped module. Every field is an atomic, so neither side ever waits for
//! the other, and a setting holds for the next call that starts after it.
#![expect(
    unsafe_code,
    reason = "a memory map is read through a raw pointer, in one place"
)]
#![expect(
    dead_code,
    reason = "the test writes what the module reads: each uses its half"
)]

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use memmap2::{MmapMut, MmapOptions, MmapRaw};

/// As the count of `fail_next`: until `heal` or another `fail_next`.
pub const FOREVER: u64 = u64::MAX;

/// Which calls of a function hang: all of them, the next one, or one that hangs already.
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
            /// Every function, for settings that concern all of them.
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

/// How the device speaks AES-GCM. The README describes each.
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

/// Where a dialect that makes its own IV takes it from: all but `Random` are broken devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IvSource {
    Random,
    Zero,
    Constant,
}

/// How a device reports success and returns something wrong. The README describes each.
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
    /// Every lie.
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

    /// What was set, if anything was.
    pub fn of(code: u64) -> Option<Self> {
        let number = u8::try_from(code & 0xff).ok()?;
        match code & !0xff {
            Self::EXIT => Some(Self::Exit(number)),
            Self::SIGNAL => Some(Self::Signal(number)),
            _ => None,
        }
    }
}

/// What a broken library does to its process. The README describes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misdeed {
    Segfault = 1,
    Abort,
    Exit,
    Fork,
    Chatter,
}

impl Misdeed {
    /// Every misdeed.
    pub const ALL: [Self; 5] = [
        Self::Segfault,
        Self::Abort,
        Self::Exit,
        Self::Fork,
        Self::Chatter,
    ];
}

/// Steering and counters of one function.
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

/// The whole file.
#[repr(C)]
pub struct Block {
    // Steering, written by the test.
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
    // Events: each increment is one, applied by the module at its next call.
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
    // Steering, written by the test.
    pub lie: AtomicU64,
    pub lie_count: AtomicU64,
}

impl Block {
    /// Steering and counters of `function`.
    #[expect(clippy::indexing_slicing, reason = "one element for each variant")]
    pub fn function(&self, function: Function) -> &FunctionBlock {
        &self.functions[function as usize]
    }
}

/// A mapped control block.
pub struct Control {
    map: MmapRaw,
}

impl Control {
    /// Maps the control file, which is made, all zero, when there is none. Nobody may truncate it
    /// while it is mapped.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).open(path)?;
        let len = size_of::<Block>();
        file.set_len(file.metadata()?.len().max(len as u64))?;
        let map = MmapOptions::new().len(len).map_raw(&file)?;
        Ok(Self { map })
    }

    /// A block without a file, for a module that nobody steers.
    pub fn anonymous() -> io::Result<Self> {
        let map = MmapMut::map_anon(size_of::<Block>())?.into();
        Ok(Self { map })
    }

    /// The raw block.
    pub fn block(&self) -> &Block {
        // SAFETY: the map is page-aligned, as long as a Block and lives as long as `self`; a Block
        // is made of atomics only, for which every bit pattern is valid and sharing is expected.
        unsafe { &*self.map.as_ptr().cast::<Block>() }
    }
}

/// What a test steers.
impl Control {
    /// Every call of `function` takes this much longer.
    pub fn set_delay(&self, function: Function, micros: u64) {
        self.block().function(function).delay.store(micros, SeqCst);
    }

    /// Every call of `function` takes longer by something between nothing and this.
    pub fn set_random_delay(&self, function: Function, micros: u64) {
        let block = self.block().function(function);
        block.random_delay.store(micros, SeqCst);
    }

    /// Calls of `function` do not return until this is `false` again.
    pub fn hang(&self, function: Function, hang: bool) {
        let block = self.block().function(function);
        block.hang.store(hang.into(), SeqCst);
    }

    /// Calls of `function` end the process.
    pub fn end_process(&self, function: Function, end: ProcessEnd) {
        let block = self.block().function(function);
        block.end.store(end.code(), SeqCst);
    }

    /// The next call of `function` does not return until `hang` or `heal`; others do.
    pub fn hang_next(&self, function: Function) {
        self.block()
            .function(function)
            .hang
            .store(HANGS_NEXT, SeqCst);
    }

    /// The next `count` calls of `function` return `code` and do nothing; see `FOREVER`.
    pub fn fail_next(&self, function: Function, code: u64, count: u64) {
        let block = self.block().function(function);
        block.fail_count.store(0, SeqCst);
        block.fail_code.store(code, SeqCst);
        block.fail_count.store(count, SeqCst);
    }

    /// The next call of `function` does this to its process, once.
    pub fn commit_next(&self, function: Function, misdeed: Misdeed) {
        let block = self.block().function(function);
        block.misdeed.store(misdeed as u64, SeqCst);
    }

    /// Whether a misdeed has yet to be committed.
    pub fn is_to_commit(&self, function: Function) -> bool {
        self.block().function(function).misdeed.load(SeqCst) != 0
    }

    /// From now on `fail_next` and `end_process` concern the key of this label only, in the functions that start or do an encryption or a decryption.
    pub fn fail_only_key(&self, label: &str) {
        let failing_key = hash(label.as_bytes());
        self.block().failing_key.store(failing_key, SeqCst);
    }

    /// Takes the token out of its slot, which ends its sessions, or puts it back.
    pub fn set_removed(&self, removed: bool) {
        self.block().removed.store(removed.into(), SeqCst);
        if removed {
            self.lose_sessions();
        }
    }

    /// Ends every session that is open now.
    pub fn lose_sessions(&self) {
        self.block().session_epoch.fetch_add(1, SeqCst);
    }

    /// Logs the user out, until the next `C_Login`.
    pub fn lose_login(&self) {
        self.block().login_epoch.fetch_add(1, SeqCst);
    }

    /// Finalizes the wrapped module, as another user of the library in the same process would.
    pub fn finalize_behind_back(&self) {
        self.block().finalize_epoch.fetch_add(1, SeqCst);
    }

    /// Every object handle handed out so far is invalid from now on.
    pub fn stale_handles(&self) {
        self.block().handle_epoch.fetch_add(1, SeqCst);
    }

    /// More sessions than this are refused; 0: no limit.
    pub fn set_session_limit(&self, limit: u64) {
        self.block().session_limit.store(limit, SeqCst);
    }

    /// After this many wrong PINs the token is locked; 0: it never is.
    pub fn set_pin_tries(&self, tries: u64) {
        self.block().pin_tries.store(tries, SeqCst);
    }

    /// What `C_Decrypt` returns for a ciphertext that does not verify; 0: as the wrapped module.
    pub fn set_bad_tag_code(&self, code: u64) {
        self.block().bad_tag_code.store(code, SeqCst);
    }

    /// How AES-GCM is spoken by operations that start from now on.
    pub fn set_dialect(&self, dialect: Dialect) {
        self.block().dialect.store(dialect as u64, SeqCst);
    }

    /// Where the IVs of the dialects come from.
    pub fn set_iv_source(&self, source: IvSource) {
        self.block().iv_source.store(source as u64, SeqCst);
    }

    /// What `C_OpenSession` returns for a read-only session; 0: as the wrapped module.
    pub fn reject_read_only(&self, code: u64) {
        self.block().read_only_code.store(code, SeqCst);
    }

    /// Flags that the token has besides its own. With `CKF_CLOCK_ON_TOKEN` its `utcTime` is no time.
    pub fn set_token_flags(&self, flags: u64) {
        self.block().token_flags.store(flags, SeqCst);
    }

    /// The texts of the token are padded with NULs instead of blanks.
    pub fn set_nul_padding(&self, padded: bool) {
        self.block().nul_padding.store(padded.into(), SeqCst);
    }

    /// What `C_GetAttributeValue` returns for the objects of this label; 0: as the wrapped module.
    pub fn set_unreadable(&self, label: &str, code: u64) {
        let block = self.block();
        block.unreadable.store(hash(label.as_bytes()), SeqCst);
        block.unreadable_code.store(code, SeqCst);
    }

    /// The token says that it has no login: `CKF_LOGIN_REQUIRED` is not set. Its public objects can be used as ever.
    pub fn set_no_login(&self) {
        self.block().no_login.store(1, SeqCst);
    }

    /// The next `count` operations that can tell this lie do; see `FOREVER`.
    pub fn lie(&self, lie: Lie, count: u64) {
        self.block().lie_count.store(0, SeqCst);
        self.block().lie.store(lie as u64, SeqCst);
        self.block().lie_count.store(count, SeqCst);
    }

    /// How many more operations will lie.
    pub fn lies_left(&self) -> u64 {
        self.block().lie_count.load(SeqCst)
    }

    /// Ends delays, hangs, ends of the process, failures, lies, removal and the session limit. Dialect, bad-tag code and PIN
    /// lock stay: they are what the device is, not what has befallen it.
    pub fn heal(&self) {
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

/// A label as a number (FNV-1a).
pub fn hash(label: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    label.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// What a test reads of the whole module.
        impl Control {
            $($(#[$doc])* pub fn $name(&self) -> u64 { self.block().$name.load(SeqCst) })*
        }
    };
}

counters! {
    /// Times a module was loaded with this file.
    attached
    /// Sessions open now. Lost ones count until the module is next called.
    open_sessions
    /// Sessions ever opened.
    sessions_opened
    /// Successful logins; the attempts are `calls(Function::Login)`.
    logins
    /// Logins that failed, for whatever reason.
    login_failures
    /// Logins that failed with `CKR_PIN_INCORRECT`.
    wrong_pins
    /// Calls inside the module now, hung ones included.
    in_flight
    /// The most calls that ever were inside the module at once.
    max_in_flight
    /// Times the client called `C_Finalize` while other calls were inside.
    finalize_races
}

/// What a test reads of one function.
impl Control {
    /// Calls that came in.
    pub fn calls(&self, function: Function) -> u64 {
        self.block().function(function).calls.load(SeqCst)
    }

    /// Calls that were answered by `fail_next`.
    pub fn injected(&self, function: Function) -> u64 {
        self.block().function(function).injected.load(SeqCst)
    }

    /// Calls that hang now.
    pub fn stuck(&self, function: Function) -> u64 {
        self.block().function(function).stuck.load(SeqCst)
    }
}
