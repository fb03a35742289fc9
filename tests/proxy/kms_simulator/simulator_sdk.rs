//! The unmodified AWS Encryption SDK for Python encrypts and decrypts a file with a key in the external key store.

use crate::harness::system::System;

#[test]
fn a_file_is_encrypted_with_a_key_of_the_store() {
    let system = System::start(|options, _| options);
    let directory = system.proxy.setup.directory.to_str().unwrap();
    system.run_program("file_encryption.py", &[directory], &system.facts());
}
