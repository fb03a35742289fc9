"""Cryptographic operations with boto3: results, encryption contexts, and rejected requests."""

import random

from steps import World, client, new_account, new_key, raises, run, step

CONTEXT = {"project": "nile", "department": "marketing", "ümläut": "日本"}
# The exceptions for a ciphertext that the proxy or KMS rejects.
BAD_CIPHERTEXT = ("InvalidCiphertextException", "KMSInvalidStateException")


@step
def ciphertexts_decrypt_to_their_plaintexts():
    world = World()
    for size in [1, 16, 1000, 4096]:
        plaintext = random.randbytes(size)
        answer = world.kms.encrypt(KeyId=world.key_id, Plaintext=plaintext)
        assert answer["KeyId"] == world.key["Arn"], answer
        assert answer["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT", answer
        assert len(answer["CiphertextBlob"]) <= 6144, len(answer["CiphertextBlob"])
        assert size < 16 or plaintext not in answer["CiphertextBlob"]
        for named in [{}, {"KeyId": world.key_id}, {"KeyId": world.key["Arn"], "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}]:
            back = world.kms.decrypt(CiphertextBlob=answer["CiphertextBlob"], **named)
            assert back["Plaintext"] == plaintext, named
            assert back["KeyId"] == world.key["Arn"], back
            assert back["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT", back
    assert world.encrypt() != world.encrypt()


@step
def sizes_have_limits():
    world = World()
    lenient = client(world.account, parameter_validation=False)
    for size in [0, 4097]:
        with raises(lenient, "ValidationException"):
            lenient.encrypt(KeyId=world.key_id, Plaintext=bytes(size))
    with raises(lenient, "ValidationException"):
        lenient.decrypt(CiphertextBlob=b"")
    with raises(lenient, "ValidationException"):
        lenient.decrypt(CiphertextBlob=bytes(6145))


@step
def decryption_needs_the_same_encryption_context():
    world = World()
    blob = world.encrypt(EncryptionContext=CONTEXT)
    assert world.decrypt(blob, EncryptionContext=dict(reversed(CONTEXT.items()))) == b"attack at dawn"
    fewer = {name: value for name, value in CONTEXT.items() if name != "project"}
    for context in [{}, fewer, CONTEXT | {"project": "amazon"}, CONTEXT | {"more": ""}, {"PROJECT": "nile"}]:
        with raises(world.kms, "KMSInvalidStateException"):
            world.decrypt(blob, EncryptionContext=context)
    without = world.encrypt()
    with raises(world.kms, "KMSInvalidStateException"):
        world.decrypt(without, EncryptionContext=CONTEXT)
    assert world.decrypt(without, EncryptionContext={}) == b"attack at dawn"
    # Different contexts must be different for the HSM, too.
    glued = world.encrypt(EncryptionContext={"a": "b,c=d"})
    with raises(world.kms, "KMSInvalidStateException"):
        world.decrypt(glued, EncryptionContext={"a": "b", "c": "d"})


@step
def data_keys_come_with_and_without_their_plaintext():
    world = World()
    for request, size in [({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 1}, 1), ({"NumberOfBytes": 1024}, 1024)]:
        request = {"KeyId": world.key_id, "EncryptionContext": CONTEXT} | request
        both = world.kms.generate_data_key(**request)
        assert len(both["Plaintext"]) == size and both["KeyId"] == world.key["Arn"], both
        assert world.decrypt(both["CiphertextBlob"], EncryptionContext=CONTEXT) == both["Plaintext"]
        one = world.kms.generate_data_key_without_plaintext(**request)
        assert "Plaintext" not in one, one
        assert len(world.decrypt(one["CiphertextBlob"], EncryptionContext=CONTEXT)) == size
    first, second = (world.kms.generate_data_key(KeyId=world.key_id, KeySpec="AES_256")["Plaintext"] for _ in range(2))
    assert first != second
    for request in [{}, {"KeySpec": "AES_256", "NumberOfBytes": 32}]:
        with raises(world.kms, "ValidationException"):
            world.kms.generate_data_key(KeyId=world.key_id, **request)
    lenient = client(world.account, parameter_validation=False)
    for size in [0, 1025]:
        with raises(lenient, "ValidationException"):
            lenient.generate_data_key(KeyId=world.key_id, NumberOfBytes=size)


@step
def re_encryption_changes_the_key():
    world = World()
    other = new_key(world.kms, world.store_id, "ledger")
    blob = world.encrypt(EncryptionContext={"from": "here"})
    answer = world.kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext={"from": "here"},
        DestinationKeyId=other["KeyId"],
        DestinationEncryptionContext={"to": "there"},
    )
    assert (answer["SourceKeyId"], answer["KeyId"]) == (world.key["Arn"], other["Arn"]), answer
    assert answer["SourceEncryptionAlgorithm"] == answer["DestinationEncryptionAlgorithm"] == "SYMMETRIC_DEFAULT", answer
    assert world.decrypt(answer["CiphertextBlob"], EncryptionContext={"to": "there"}) == b"attack at dawn"
    with raises(world.kms, "KMSInvalidStateException"):
        world.kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other["KeyId"])
    with raises(world.kms, "IncorrectKeyException"):
        world.kms.re_encrypt(
            CiphertextBlob=blob, SourceKeyId=other["KeyId"], SourceEncryptionContext={"from": "here"}, DestinationKeyId=other["KeyId"]
        )


@step
def a_ciphertext_belongs_to_its_key():
    world = World()
    other = new_key(world.kms, world.store_id, "ledger")
    blob = world.encrypt()
    with raises(world.kms, "IncorrectKeyException"):
        world.decrypt(blob, KeyId=other["KeyId"])
    with raises(world.kms, "NotFoundException"):
        world.decrypt(blob, KeyId="1234abcd-12ab-34cd-56ef-1234567890ab")
    # Another KMS key in another store with the same external key.
    twin = World()
    with raises(twin.kms, "AccessDeniedException", "InvalidCiphertextException"):
        twin.decrypt(blob)
    with raises(twin.kms, "IncorrectKeyException", "AccessDeniedException", "InvalidCiphertextException"):
        twin.decrypt(blob, KeyId=twin.key_id)


@step
def a_changed_ciphertext_is_rejected():
    world = World()
    blob = world.encrypt(EncryptionContext=CONTEXT)
    for at in range(len(blob)):
        flipped = bytearray(blob)
        flipped[at] ^= 1 << (at % 8)
        # A change in the key id of the ciphertext names a key that does not exist.
        with raises(world.kms, *BAD_CIPHERTEXT, "AccessDeniedException"):
            world.decrypt(bytes(flipped), EncryptionContext=CONTEXT)
    for length in [1, 2, len(blob) // 2, len(blob) - 16, len(blob) - 1]:
        with raises(world.kms, *BAD_CIPHERTEXT):
            world.decrypt(blob[:length], EncryptionContext=CONTEXT)
    for other in [blob + b"\0", blob + blob, b"\0" * len(blob), random.randbytes(len(blob))]:
        with raises(world.kms, *BAD_CIPHERTEXT):
            world.decrypt(other, EncryptionContext=CONTEXT)
    assert world.decrypt(blob, EncryptionContext=CONTEXT) == b"attack at dawn"


@step
def a_ciphertext_made_of_two_is_rejected():
    world = World()
    one, two = world.encrypt(b"first secret"), world.encrypt(b"other secret")
    assert len(one) == len(two)
    halves = [one[:at] + two[at:] for at in range(len(one) // 4, len(one), 7)]
    for mixed in halves:
        if mixed not in (one, two):
            with raises(world.kms, *BAD_CIPHERTEXT):
                world.decrypt(mixed)


@step
def ciphertexts_are_bound_to_region_and_account():
    here, there = World("payments"), World("retail")
    assert (here.region, there.region) == ("eu-west-1", "us-east-1")
    assert there.key["Arn"].startswith("arn:aws:kms:us-east-1:"), there.key
    same_account = client(here.account, "us-east-1")
    assert same_account.describe_custom_key_stores()["CustomKeyStores"] == []
    assert same_account.list_keys()["Keys"] == []
    blob = here.encrypt()
    for kms in [there.kms, same_account, client(new_account())]:
        with raises(kms, "AccessDeniedException", "InvalidCiphertextException"):
            kms.decrypt(CiphertextBlob=blob)
        with raises(kms, "NotFoundException", "AccessDeniedException"):
            kms.describe_key(KeyId=here.key_id)
    with raises(there.kms, "IncorrectKeyException", "AccessDeniedException", "InvalidCiphertextException"):
        there.decrypt(blob, KeyId=there.key_id)
    assert client(new_account()).list_keys()["Keys"] == []
    assert here.decrypt(blob) == there.decrypt(there.encrypt()) == b"attack at dawn"


@step
def a_dry_run_changes_nothing():
    world = World()
    with raises(world.kms, "DryRunOperationException"):
        world.encrypt(DryRun=True)
    blob = world.encrypt()
    with raises(world.kms, "DryRunOperationException"):
        world.decrypt(blob, DryRun=True)


run("crypto")
