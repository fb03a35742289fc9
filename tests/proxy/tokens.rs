//! PKCS#11 modules and tokens: setup, login, dialects and errors.

mod denied_paths;
mod dialects;
mod foreign_modules;
mod hsm_setup;
mod login_record;
mod pkcs11_errors;
mod shared_tokens;
mod token_login;
