//! Adds the IV of a dialect before or after the output of the wrapped module.

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

/// The buffers of the client in one call.
pub struct Text {
    pub data: *mut CK_BYTE,
    pub data_len: CK_ULONG,
    pub output: *mut CK_BYTE,
    pub output_len: *mut CK_ULONG,
}

impl Text {
    /// Encrypts by the rules of the active operation.
    pub fn encrypt(&self, module: &Module, session: &Session) -> Answer {
        match &session.operation {
            Operation::Append { iv } => framed(module, session, self, iv, IvPosition::After),
            Operation::Prepend { iv } => framed(module, session, self, iv, IvPosition::Before),
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

    /// Decrypts by the rules of the active operation.
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
        // SAFETY: the data of the client is longer than the IV.
        let data = unsafe { self.data.add(IV_LEN) };
        Self {
            data,
            data_len,
            ..*self
        }
        .decrypt_below(module, real)
    }

    /// Ends the operation, unless the client only requested the length or its buffer is too small.
    pub fn ended(&self, session: &mut Session, answer: Answer) -> Answer {
        let continues = match answer {
            Ok(()) => self.output.is_null(),
            Err(code) => code == CKR_BUFFER_TOO_SMALL,
        };
        if !continues {
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

/// The position of the IV in the output.
#[derive(PartialEq, Eq)]
enum IvPosition {
    Before,
    After,
}

/// Encrypts into an output that also contains the IV.
fn framed(
    module: &Module,
    session: &Session,
    text: &Text,
    iv: &[u8],
    position: IvPosition,
) -> Answer {
    // SAFETY: null or a valid pointer of the client.
    let len = unsafe { text.output_len.as_mut() }.ok_or(CKR_ARGUMENTS_BAD)?;
    let extra = iv.len() as CK_ULONG;
    let (before, room) = (position == IvPosition::Before, len.checked_sub(extra));
    let Some(mut body) = room.filter(|_| !text.output.is_null()) else {
        return framed_len(module, session, text, extra);
    };
    let offset = if before { iv.len() } else { 0 };
    // SAFETY: by the client's length, the output is longer than the IV.
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
        // SAFETY: body and IV fit into the buffer of the client.
        unsafe { ptr::copy_nonoverlapping(iv.as_ptr(), text.output.add(offset), iv.len()) };
    }
    answer
}

/// Stores the output length. Fails with `CKR_BUFFER_TOO_SMALL` unless the client requested only the length.
fn framed_len(module: &Module, session: &Session, text: &Text, extra: CK_ULONG) -> Answer {
    let mut body = 0;
    let query = Text {
        output: ptr::null_mut(),
        output_len: &mut body,
        ..*text
    };
    query.encrypt_below(module, session)?;
    // SAFETY: the caller has checked that it is not null.
    unsafe { *text.output_len = body + extra };
    if text.output.is_null() {
        Ok(())
    } else {
        Err(CKR_BUFFER_TOO_SMALL)
    }
}
