//! A device that reports success and returns something wrong.

#![expect(unsafe_code, reason = "the client's buffers")]

use std::sync::atomic::Ordering::SeqCst;

use cryptoki_sys::{CK_BYTE, CK_ULONG};

use crate::control::{FOREVER, Lie};
use crate::framing::Text;
use crate::module::Module;

const TAG_LEN: usize = 16;

impl Text {
    /// Makes the output of an encryption wrong, if a test said so.
    ///
    /// # Safety
    /// The encryption has succeeded: the buffers hold what their lengths say.
    pub unsafe fn falsify_ciphertext(&self, module: &Module) {
        let can = |lie| {
            use Lie::*;
            matches!(lie, Plaintext | ZeroTag | ShortOutput | WrongCiphertext)
        };
        let Some(lie) = take(module, can) else {
            return;
        };
        let len = usize::try_from(self.data_len).unwrap_or(0);
        // SAFETY: the caller's promise; the tag follows the ciphertext, which is as long as the plaintext.
        unsafe {
            match lie {
                Lie::Plaintext => std::ptr::copy(self.data, self.output, len),
                Lie::ZeroTag => std::ptr::write_bytes(self.output.add(len), 0, TAG_LEN),
                Lie::WrongCiphertext => *self.output ^= 1,
                _ => *self.output_len -= 1,
            }
        }
    }

    /// Makes the output of a decryption wrong, if a test said so.
    ///
    /// # Safety
    /// As for `falsify_ciphertext`.
    pub unsafe fn falsify_plaintext(&self, module: &Module) {
        // SAFETY: the caller's promise.
        let is_empty = unsafe { *self.output_len } == 0;
        if !is_empty && take(module, |lie| lie == Lie::WrongPlaintext).is_some() {
            // SAFETY: the caller's promise.
            unsafe { *self.output ^= 1 };
        }
    }
}

/// Makes random numbers that are always the same, if a test said so.
///
/// # Safety
/// `random` has `len` bytes.
pub unsafe fn falsify_random(module: &Module, random: *mut CK_BYTE, len: CK_ULONG) {
    if take(module, |lie| lie == Lie::RepeatedRandom).is_some() {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::write_bytes(random, 0xA5, usize::try_from(len).unwrap_or(0)) };
    }
}

fn take(module: &Module, can: impl Fn(Lie) -> bool) -> Option<Lie> {
    let block = module.control.block();
    let wanted = block.lie.load(SeqCst);
    let lie = Lie::ALL.into_iter().find(|lie| *lie as u64 == wanted)?;
    if !can(lie) {
        return None;
    }
    let spend = |left| match left {
        0 => None,
        FOREVER => Some(FOREVER),
        left => Some(left - 1),
    };
    block.lie_count.fetch_update(SeqCst, SeqCst, spend).ok()?;
    Some(lie)
}
