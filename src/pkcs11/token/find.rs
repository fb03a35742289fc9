//! Finds the token that the configuration selects.

use super::open_error::OpenError;
use super::slot::{TokenIdentity, TokenInfo, TokenSlot};
use crate::hsm_protocol::TokenSelector;
use crate::pkcs11::library::module::Module;

/// Finds the slot of the token, and reads the identity of the token.
pub(in crate::pkcs11) fn find_token(
    module: &Module,
    selector: &TokenSelector,
) -> Result<(TokenSlot, TokenIdentity), OpenError> {
    let functions = &module.functions;
    let (mut seen, mut found) = (Vec::new(), Vec::new());
    for slot in functions.slots(true)? {
        let info = match functions.token_info(slot) {
            Ok(info) => TokenInfo::from(info),
            Err(error) => {
                seen.push(format!("slot {slot} cannot be queried ({error})"));
                continue;
            }
        };
        if info.is_selected_by(selector) {
            found.push((TokenSlot::new(slot, &info), info.identity()));
        }
        seen.push(info.to_string());
    }
    match (found.pop(), found.len()) {
        (Some(token), 0) => Ok(token),
        (Some(_), others) => Err(OpenError::TokenAmbiguous(describe(selector), others + 1)),
        (None, _) if seen.is_empty() => {
            let slots = functions.slots(false)?.len();
            let none = format!("none; slots without a token: {slots}");
            Err(OpenError::TokenAbsent(describe(selector), none))
        }
        (None, _) => Err(OpenError::TokenAbsent(describe(selector), seen.join(", "))),
    }
}

fn describe(selector: &TokenSelector) -> String {
    match selector {
        TokenSelector::Label(label) => format!("label {label:?}"),
        TokenSelector::Serial(serial) => format!("serial {serial:?}"),
    }
}
