"""Operations that external key stores do not support, and requests that boto3 would not send."""

import json

from steps import World, client, new_account, raw, raises, run, step


@step
def unsupported_operations_have_their_exceptions():
    world = World()
    kms, this = world.kms, {"KeyId": world.key_id}
    own = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": world.store_id, "XksKeyId": "ledger"}
    pair = {**this, "KeyPairSpec": "ECC_NIST_P256"}
    for call, request in [
        (kms.create_key, own | {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}),
        (kms.create_key, own | {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}),
        (kms.create_key, own | {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}),
        (kms.create_key, own | {"MultiRegion": True}),
        (kms.generate_data_key_pair, pair),
        (kms.generate_data_key_pair_without_plaintext, pair),
        (kms.enable_key_rotation, this),
        (kms.get_parameters_for_import, this | {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}),
        (kms.import_key_material, this | {"ImportToken": b"token", "EncryptedKeyMaterial": b"key"}),
        (kms.delete_imported_key_material, this),
        (kms.replicate_key, this | {"ReplicaRegion": "us-east-1"}),
        (kms.update_primary_region, this | {"PrimaryRegion": "us-east-1"}),
        (kms.rotate_key_on_demand, this),
        (kms.get_public_key, this),
        (kms.generate_random, {"NumberOfBytes": 32, "CustomKeyStoreId": world.store_id}),
    ]:
        with raises(kms, "UnsupportedOperationException"):
            call(**request)
    for call, request in [
        (kms.sign, {"Message": b"m", "SigningAlgorithm": "RSASSA_PSS_SHA_256"}),
        (kms.verify, {"Message": b"m", "SigningAlgorithm": "RSASSA_PSS_SHA_256", "Signature": b"s"}),
        (kms.generate_mac, {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}),
        (kms.verify_mac, {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256", "Mac": b"m"}),
        (kms.encrypt, {"Plaintext": b"m", "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}),
    ]:
        with raises(kms, "UnsupportedOperationException", "InvalidKeyUsageException"):
            call(**this, **request)


@step
def a_key_needs_a_store_and_an_external_key():
    world = World()
    for request in [
        {},
        {"Origin": "EXTERNAL"},
        {"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": world.store_id},
        {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": world.store_id},
        {"Origin": "EXTERNAL_KEY_STORE", "XksKeyId": "ledger"},
        {"CustomKeyStoreId": world.store_id, "XksKeyId": "ledger"},
    ]:
        with raises(world.kms, "UnsupportedOperationException", "ValidationException"):
            world.kms.create_key(**request)
    assert len(world.kms.list_keys()["Keys"]) == 1


def check_error(status, said, name):
    kind = said.get("__type", "").rpartition("#")[2]
    assert (status, kind) == (400, name), f"{status} {said} instead of {name}"


@step
def invalid_requests_are_rejected():
    for target in ["TrentService.Nonsense", "TrentService", "Nonsense", "", "DynamoDB_20120810.ListTables", None]:
        status, said, headers = raw(target, "{}")
        check_error(status, said, "UnknownOperationException")
        assert headers["x-amzn-RequestId"], headers.items()
    for body in ["", "{", "null", "[]", '"text"', '{"Limit": 1', '{"Limit": 1}}', "\xff", '{"Limit": "many"}', '{"Limit": 1e999}', '{"Limit": []}']:
        status, said, _ = raw("TrentService.ListKeys", body.encode("latin-1"))
        kind = said.get("__type", "").rpartition("#")[2]
        # Some AWS services treat an empty body as an empty object. It must not be an internal error.
        fine = kind in ("SerializationException", "ValidationException") and status == 400
        assert fine or (body == "" and status == 200), f"{body!r}: {status} {said}"
    for key, body in {
        "not a string": {"KeyId": 7, "Plaintext": "YQ=="},
        "not Base64": {"KeyId": "alias/a", "Plaintext": "!"},
        "not there": {"Plaintext": "YQ=="},
        "too long": {"KeyId": "a" * 5000, "Plaintext": "YQ=="},
        "no text": {"KeyId": "alias/a", "Plaintext": "YQ==", "EncryptionContext": {"a": 1}},
    }.items():
        status, said, _ = raw("TrentService.Encrypt", json.dumps(body))
        kind = said.get("__type", "").rpartition("#")[2]
        assert status == 400 and kind in ("SerializationException", "ValidationException"), f"{key}: {status} {said}"


@step
def responses_have_the_headers_of_aws_json():
    status, said, headers = raw("TrentService.ListKeys", "{}")
    assert status == 200 and said["Keys"] == [], said
    assert headers["Content-Type"] == "application/x-amz-json-1.1", headers.items()
    assert headers["x-amzn-RequestId"], headers.items()
    status, said, headers = raw("TrentService.DescribeKey", '{"KeyId": "alias/nobody"}')
    check_error(status, said, "NotFoundException")
    assert said["message"] and headers["Content-Type"] == "application/x-amz-json-1.1", said
    # Unknown members are accepted, because later SDKs may send them.
    status, said, _ = raw("TrentService.ListKeys", '{"SomethingNew": {"a": [1]}}')
    assert status == 200, said


@step
def other_requests_are_rejected():
    for method, path in [("GET", "/"), ("PUT", "/"), ("POST", "/elsewhere"), ("DELETE", "/metrics")]:
        status, _, _ = raw("TrentService.ListKeys", None if method == "GET" else "{}", method=method, path=path)
        assert 400 <= status < 500, f"{method} {path}: {status}"
    try:
        status, said, _ = raw("TrentService.Encrypt", json.dumps({"KeyId": "alias/a", "Plaintext": "A" * 4_000_000}))
        assert 400 <= status < 500, f"{status} {said}"
    except ConnectionError:
        pass  # it need not listen to the end
    status, _, _ = raw("", None, method="GET", path="/metrics")
    assert status == 200


@step
def without_credentials_signatures_are_optional():
    status, said, _ = raw("TrentService.ListKeys", "{}", {"Authorization": None})
    assert status == 200, said
    # Callers whose access key id is not an account share one account.
    shared = client("AKIAIOSFODNN7EXAMPLE")
    shared.list_keys()
    account = new_account()
    assert client(account).list_keys()["Keys"] == []
    for wrong in ["Bearer token", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a/b"]:
        status, said, _ = raw("TrentService.ListKeys", "{}", {"Authorization": wrong})
        assert status in (200, 400), said


run("refusals")
