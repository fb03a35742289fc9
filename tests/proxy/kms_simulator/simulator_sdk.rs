//! The AWS Encryption SDK for Python, unmodified: a file encrypted and decrypted under a key of the external key store.

use crate::harness::system::System;

#[test]
fn a_file_is_encrypted_under_a_key_of_the_store() {
    let system = System::start(|options, _| options);
    let directory = system.proxy.setup.directory.to_str().unwrap();
    system.judge("file_encryption.py", &[directory], &system.facts());
}
