"""The AWS Encryption SDK with a key in an external key store: a file of 1 MiB, and changed encryption contexts.

Argument: a directory. The settings come from standard input, as for the other tests.
"""

import os
import pathlib
import sys

import aws_encryption_sdk
import botocore.session
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError

from steps import FACTS, World, run, step

CONTEXT = {"purpose": "test of the whole", "tenant": "one"}
directory = pathlib.Path(sys.argv[1])
sdk = aws_encryption_sdk.EncryptionSDKClient()
plain, encrypted, decrypted = (directory / name for name in ["plain", "encrypted", "decrypted"])


def provider(world):
    """Returns a master key provider. The environment has the endpoint of KMS and the credentials."""
    os.environ.update(AWS_ENDPOINT_URL_KMS=FACTS["url"], AWS_ACCESS_KEY_ID=world.account, AWS_SECRET_ACCESS_KEY="any secret does")
    session = botocore.session.Session()
    return aws_encryption_sdk.StrictAwsKmsMasterKeyProvider(key_ids=[world.key["Arn"]], botocore_session=session)


def seal(world):
    with open(plain, "rb") as source, open(encrypted, "wb") as target:
        with sdk.stream(mode="e", source=source, key_provider=provider(world), encryption_context=CONTEXT) as encryptor:
            for chunk in encryptor:
                target.write(chunk)


@step
def a_file_is_encrypted_and_decrypted():
    world = World()
    plain.write_bytes(os.urandom(1024 * 1024))
    seal(world)
    assert encrypted.stat().st_size > 1024 * 1024 and plain.read_bytes()[:64] not in encrypted.read_bytes()
    with open(encrypted, "rb") as source, open(decrypted, "wb") as target:
        with sdk.stream(mode="d", source=source, key_provider=provider(world)) as decryptor:
            for chunk in decryptor:
                target.write(chunk)
            header = decryptor.header
    assert CONTEXT.items() <= header.encryption_context.items(), header
    assert header.encrypted_data_keys and decrypted.read_bytes() == plain.read_bytes()


@step
def a_wrong_context_cannot_decrypt():
    world = World()
    plain.write_bytes(os.urandom(1000))
    seal(world)
    message = encrypted.read_bytes()
    assert message.count(b"tenant") == 1
    changed = message.replace(b"one", b"two", 1)
    assert changed != message
    try:
        sdk.decrypt(source=changed, key_provider=provider(world))
    except AWSEncryptionSDKClientError as error:
        # KMS rejects the call: the SDK decrypts the data key with the context of the message.
        assert "unable to decrypt" in str(error).lower(), error
    else:
        raise AssertionError("decrypted under another context")
    assert sdk.decrypt(source=message, key_provider=provider(world))[0] == plain.read_bytes()


@step
def a_disabled_key_cannot_decrypt():
    world = World()
    message, _ = sdk.encrypt(source=b"small", key_provider=provider(world), encryption_context=CONTEXT)
    world.kms.disable_key(KeyId=world.key_id)
    try:
        sdk.decrypt(source=message, key_provider=provider(world))
    except AWSEncryptionSDKClientError:
        pass
    else:
        raise AssertionError("decrypted with a disabled key")
    world.kms.enable_key(KeyId=world.key_id)
    assert sdk.decrypt(source=message, key_provider=provider(world))[0] == b"small"


run("file encryption")
