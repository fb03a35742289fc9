//! Wrong outputs with `CKR_OK`.

#![expect(unsafe_code, reason = "the client's buffers")]

use std::sync::atomic::Ordering::SeqCst;

use cryptoki_sys::{CK_BYTE, CK_ULONG};

use crate::control::{FOREVER, Lie};
use crate::framing::Text;
use crate::module::Module;

const TAG_LEN: usize = 16;

impl Text {
    /// Falsifies the output of an encryption, if a test requested it.
    ///
    /// # Safety
    /// The encryption has succeeded, so the buffers are as long as their lengths.
    pub unsafe fn falsify_ciphertext(&self, module: &Module) {
        let can = |lie| {
            use Lie::*;
            matches!(lie, Plaintext | ZeroTag | ShortOutput | WrongCiphertext)
        };
        let Some(lie) = take(module, can) else {
            return;
        };
        let len = usize::try_from(self.data_len).unwrap_or(0);
        // SAFETY: guaranteed by the caller; the tag follows the ciphertext, which is as long as the plaintext.
        unsafe {
            match lie {
                Lie::Plaintext => std::ptr::copy(self.data, self.output, len),
                Lie::ZeroTag => std::ptr::write_bytes(self.output.add(len), 0, TAG_LEN),
                Lie::WrongCiphertext => *self.output ^= 1,
                _ => *self.output_len -= 1,
            }
        }
    }

    /// Falsifies the output of a decryption, if a test requested it.
    ///
    /// # Safety
    /// As for `falsify_ciphertext`.
    pub unsafe fn falsify_plaintext(&self, module: &Module) {
        // SAFETY: guaranteed by the caller.
        let is_empty = unsafe { *self.output_len } == 0;
        if !is_empty && take(module, |lie| lie == Lie::WrongPlaintext).is_some() {
            // SAFETY: guaranteed by the caller.
            unsafe { *self.output ^= 1 };
        }
    }
}

/// Replaces random numbers by constants, if a test requested it.
///
/// # Safety
/// `random` has `len` bytes.
pub unsafe fn falsify_random(module: &Module, random: *mut CK_BYTE, len: CK_ULONG) {
    if take(module, |lie| lie == Lie::RepeatedRandom).is_some() {
        // SAFETY: guaranteed by the caller.
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
