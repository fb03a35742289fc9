//! What a dialect's output looks like: the wrapped module's, with the IV before or behind it.

#![expect(
    unsafe_code,
    reason = "the client's buffers, and calls of the wrapped module"
)]

use std::ptr;

use cryptoki_sys::{
    CK_BYTE, CK_GCM_PARAMS, CK_SESSION_HANDLE, CK_ULONG, CKR_ARGUMENTS_BAD, CKR_BUFFER_TOO_SMALL,
    CKR_ENCRYPTED_DATA_LEN_RANGE,
};

use crate::gcm::{self, IV_LEN, Operation, Pending};
use crate::module::{Answer, Module, call};
use crate::sessions::Session;

/// The client's buffers of one call.
pub struct Text {
    pub data: *mut CK_BYTE,
    pub data_len: CK_ULONG,
    pub output: *mut CK_BYTE,
    pub output_len: *mut CK_ULONG,
}

impl Text {
    /// Encrypts, as the active operation has it.
    pub fn encrypt(&self, module: &Module, session: &Session) -> Answer {
        match &session.operation {
            Operation::Append { iv } => framed(module, session, self, iv, Place::Behind),
            Operation::Prepend { iv } => framed(module, session, self, iv, Place::Before),
            _ => self.encrypt_below(module, session),
        }
    }

    fn encrypt_below(&self, module: &Module, session: &Session) -> Answer {
        let Self {
            data,
            data_len,
            output,
            output_len,
        } = *self;
        call!(
            module,
            C_Encrypt(session.real, data, data_len, output, output_len)
        )?;
        if !output.is_null() {
            // SAFETY: the encryption has succeeded.
            unsafe { self.falsify_ciphertext(module) };
        }
        Ok(())
    }

    /// Decrypts, as the active operation has it.
    pub fn decrypt(&self, module: &Module, session: &mut Session) -> Answer {
        let real = session.real;
        match &mut session.operation {
            Operation::Strip(pending) => self.strip(module, real, pending),
            _ => self.decrypt_below(module, real),
        }
    }

    fn decrypt_below(&self, module: &Module, session: CK_SESSION_HANDLE) -> Answer {
        let Self {
            data,
            data_len,
            output,
            output_len,
        } = *self;
        call!(
            module,
            C_Decrypt(session, data, data_len, output, output_len)
        )?;
        if !output.is_null() {
            // SAFETY: the decryption has succeeded.
            unsafe { self.falsify_plaintext(module) };
        }
        Ok(())
    }

    /// Decrypts IV ‖ ciphertext ‖ tag.
    fn strip(&self, module: &Module, real: CK_SESSION_HANDLE, pending: &mut Pending) -> Answer {
        let body_len = self.data_len.checked_sub(IV_LEN as CK_ULONG);
        let data_len = body_len.filter(|_| !self.data.is_null());
        let data_len = data_len.ok_or(CKR_ENCRYPTED_DATA_LEN_RANGE)?;
        if !pending.started {
            pending.start(module, real, self.data)?;
        }
        // SAFETY: the client's data is longer than the IV.
        let data = unsafe { self.data.add(IV_LEN) };
        Self {
            data,
            data_len,
            ..*self
        }
        .decrypt_below(module, real)
    }

    /// Forgets the operation, unless the client only asked for a length or has too little room.
    pub fn ended(&self, session: &mut Session, answer: Answer) -> Answer {
        let goes_on = match answer {
            Ok(()) => self.output.is_null(),
            Err(code) => code == CKR_BUFFER_TOO_SMALL,
        };
        if !goes_on {
            session.operation = Operation::None;
        }
        answer
    }
}

impl Pending {
    fn start(&mut self, module: &Module, real: CK_SESSION_HANDLE, iv: *mut CK_BYTE) -> Answer {
        let mut params = CK_GCM_PARAMS {
            pIv: iv,
            ulIvLen: IV_LEN as CK_ULONG,
            ulIvBits: 8 * IV_LEN as CK_ULONG,
            pAAD: self.aad.as_mut_ptr(),
            ulAADLen: self.aad.len() as CK_ULONG,
            ulTagBits: self.tag_bits,
        };
        call!(
            module,
            C_DecryptInit(real, &mut gcm::gcm(&mut params), self.key)
        )?;
        self.started = true;
        Ok(())
    }
}

/// Where the IV stands in the output.
#[derive(PartialEq, Eq)]
enum Place {
    Before,
    Behind,
}

/// Encrypts into an output that holds the IV too.
fn framed(module: &Module, session: &Session, text: &Text, iv: &[u8], place: Place) -> Answer {
    // SAFETY: null, or the client's.
    let len = unsafe { text.output_len.as_mut() }.ok_or(CKR_ARGUMENTS_BAD)?;
    let extra = iv.len() as CK_ULONG;
    let (before, room) = (place == Place::Before, len.checked_sub(extra));
    let Some(mut body) = room.filter(|_| !text.output.is_null()) else {
        return framed_len(module, session, text, extra);
    };
    let offset = if before { iv.len() } else { 0 };
    // SAFETY: the client says that the output is longer than the IV.
    let output = unsafe { text.output.add(offset) };
    let answer = Text {
        output,
        output_len: &mut body,
        ..*text
    }
    .encrypt_below(module, session);
    if matches!(answer, Ok(()) | Err(CKR_BUFFER_TOO_SMALL)) {
        *len = body + extra;
    }
    if answer.is_ok() {
        let offset = if before {
            0
        } else {
            usize::try_from(body).unwrap_or(0)
        };
        // SAFETY: body and IV together fit the room that the client gave.
        unsafe { ptr::copy_nonoverlapping(iv.as_ptr(), text.output.add(offset), iv.len()) };
    }
    answer
}

/// Tells the length of the output; that is an answer only to a client that asked for it.
fn framed_len(module: &Module, session: &Session, text: &Text, extra: CK_ULONG) -> Answer {
    let mut body = 0;
    let query = Text {
        output: ptr::null_mut(),
        output_len: &mut body,
        ..*text
    };
    query.encrypt_below(module, session)?;
    // SAFETY: checked by the caller not to be null.
    unsafe { *text.output_len = body + extra };
    if text.output.is_null() {
        Ok(())
    } else {
        Err(CKR_BUFFER_TOO_SMALL)
    }
}
