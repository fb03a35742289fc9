//! Uses a PKCS#11 token as a worker does.

use std::fs;
use std::io;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;

/// Logs in and makes a key on the token: `MODULE|PIN FILE`. SoftHSM writes the key to its token directory.
pub fn use_token(argument: &str) -> io::Result<()> {
    let (module, pin_file) = argument.split_once('|').unwrap();
    make_key(module, pin_file).map_err(io::Error::other)
}

fn make_key(module: &str, pin_file: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let pin = fs::read_to_string(pin_file)?;
    let library = Pkcs11::new(module)?;
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let slot = library.get_slots_with_initialized_token()?.remove(0);
    let session = library.open_rw_session(slot)?;
    session.login(UserType::User, Some(&AuthPin::new(pin.trim().into())))?;
    let template = [
        Attribute::Token(true),
        Attribute::ValueLen(32.into()),
        Attribute::Label(b"made-in-a-sandbox".to_vec()),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template)?;
    Ok(())
}
