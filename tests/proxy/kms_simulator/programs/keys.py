"""KMS keys in an external key store with boto3, except for cryptographic operations."""

import datetime
import json

from steps import World, client, new_account, new_key, raises, run, step


@step
def a_key_is_described():
    world = World()
    key = new_key(world.kms, world.store_id, "ledger", Description="for books", Tags=[{"TagKey": "a", "TagValue": "b"}])
    assert key["Arn"] == f"arn:aws:kms:eu-west-1:{world.account}:key/{key['KeyId']}", key
    for name, value in {
        "AWSAccountId": world.account,
        "CustomKeyStoreId": world.store_id,
        "XksKeyConfiguration": {"Id": "ledger"},
        "Origin": "EXTERNAL_KEY_STORE",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Enabled": True,
        "MultiRegion": False,
        "KeyManager": "CUSTOMER",
        "Description": "for books",
    }.items():
        assert key[name] == value, f"{name}: {key}"
    assert abs(datetime.datetime.now(datetime.timezone.utc) - key["CreationDate"]).total_seconds() < 600
    for name in [key["KeyId"], key["Arn"]]:
        described = world.kms.describe_key(KeyId=name)["KeyMetadata"]
        assert described == key, described
    world.kms.update_key_description(KeyId=key["KeyId"], Description="for other books")
    assert world.kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Description"] == "for other books"


@step
def an_unusable_external_key_is_rejected():
    world = World()
    with raises(world.kms, "XksKeyAlreadyInUseException"):
        new_key(world.kms, world.store_id, "orders")
    with raises(world.kms, "XksKeyNotFoundException"):
        new_key(world.kms, world.store_id, "nobody-has-this")
    for name in ["aes128", "aes192", "encrypt-only", "decrypt-only", "neither", "switched-off"]:
        with raises(world.kms, "XksKeyInvalidConfigurationException"):
            new_key(world.kms, world.store_id, name)


@step
def a_missing_key_is_not_found():
    kms = client(new_account())
    for name in [
        "1234abcd-12ab-34cd-56ef-1234567890ab", "alias/nobody",
        "arn:aws:kms:eu-west-1:999999999999:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    ]:
        with raises(kms, "NotFoundException", "AccessDeniedException"):
            kms.describe_key(KeyId=name)
        with raises(kms, "NotFoundException", "AccessDeniedException"):
            kms.encrypt(KeyId=name, Plaintext=b"a")
    for call in [kms.disable_key, kms.enable_key, kms.schedule_key_deletion, kms.cancel_key_deletion, kms.list_resource_tags]:
        with raises(kms, "NotFoundException"):
            call(KeyId="1234abcd-12ab-34cd-56ef-1234567890ab")


@step
def a_disabled_key_cannot_be_used():
    world = World()
    kms, blob = world.kms, world.encrypt()
    kms.disable_key(KeyId=world.key_id)
    key = kms.describe_key(KeyId=world.key_id)["KeyMetadata"]
    assert (key["KeyState"], key["Enabled"]) == ("Disabled", False), key
    for call in [
        world.encrypt,
        lambda: world.decrypt(blob),
        lambda: kms.generate_data_key(KeyId=world.key_id, KeySpec="AES_256"),
        lambda: kms.generate_data_key_without_plaintext(KeyId=world.key_id, KeySpec="AES_256"),
        lambda: kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=world.key_id),
    ]:
        with raises(kms, "DisabledException"):
            call()
    kms.enable_key(KeyId=world.key_id)
    assert world.decrypt(blob) == b"attack at dawn"


@step
def a_key_pending_deletion_cannot_be_used():
    world = World()
    kms, blob = world.kms, world.encrypt()
    answer = kms.schedule_key_deletion(KeyId=world.key_id, PendingWindowInDays=7)
    assert answer["KeyState"] == "PendingDeletion" and answer["PendingWindowInDays"] == 7, answer
    wait = answer["DeletionDate"] - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(days=6) < wait < datetime.timedelta(days=8), answer
    key = kms.describe_key(KeyId=world.key_id)["KeyMetadata"]
    assert (key["KeyState"], key["Enabled"]) == ("PendingDeletion", False) and key["DeletionDate"] == answer["DeletionDate"], key
    for call in [
        world.encrypt,
        lambda: world.decrypt(blob),
        lambda: kms.enable_key(KeyId=world.key_id),
        lambda: kms.disable_key(KeyId=world.key_id),
        lambda: kms.schedule_key_deletion(KeyId=world.key_id),
        lambda: kms.create_alias(AliasName="alias/too-late", TargetKeyId=world.key_id),
        lambda: kms.create_grant(KeyId=world.key_id, GranteePrincipal=f"arn:aws:iam::{world.account}:user/a", Operations=["Encrypt"]),
        lambda: kms.tag_resource(KeyId=world.key_id, Tags=[{"TagKey": "a", "TagValue": "b"}]),
    ]:
        with raises(kms, "KMSInvalidStateException"):
            call()
    kms.cancel_key_deletion(KeyId=world.key_id)
    key = kms.describe_key(KeyId=world.key_id)["KeyMetadata"]
    assert key["KeyState"] == "Disabled" and "DeletionDate" not in key, key
    with raises(kms, "KMSInvalidStateException"):
        kms.cancel_key_deletion(KeyId=world.key_id)
    kms.enable_key(KeyId=world.key_id)
    assert world.decrypt(blob) == b"attack at dawn"
    lenient = client(world.account, parameter_validation=False)
    for days in [6, 31]:
        with raises(lenient, "ValidationException"):
            lenient.schedule_key_deletion(KeyId=world.key_id, PendingWindowInDays=days)
    answer = kms.schedule_key_deletion(KeyId=world.key_id)
    assert answer["PendingWindowInDays"] == 30, answer


@step
def aliases_name_keys():
    world = World()
    kms = world.kms
    other = new_key(kms, world.store_id, "ledger")["KeyId"]
    kms.create_alias(AliasName="alias/books", TargetKeyId=world.key_id)
    with raises(kms, "AlreadyExistsException"):
        kms.create_alias(AliasName="alias/books", TargetKeyId=other)
    with raises(kms, "NotFoundException"):
        kms.create_alias(AliasName="alias/none", TargetKeyId="1234abcd-12ab-34cd-56ef-1234567890ab")
    for name in ["books", "alias/aws/mine", "alias/with blank"]:
        with raises(kms, "InvalidAliasNameException", "ValidationException", "NotAuthorizedException"):
            kms.create_alias(AliasName=name, TargetKeyId=world.key_id)
    arn = f"arn:aws:kms:eu-west-1:{world.account}:alias/books"
    for name in ["alias/books", arn]:
        answer = kms.encrypt(KeyId=name, Plaintext=b"by alias")
        assert answer["KeyId"] == world.key["Arn"], answer
        assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == world.key_id
    kms.update_alias(AliasName="alias/books", TargetKeyId=other)
    assert kms.describe_key(KeyId="alias/books")["KeyMetadata"]["KeyId"] == other
    kms.create_alias(AliasName="alias/more", TargetKeyId=world.key_id)
    all_of_them = [
        alias for page in kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 1}) for alias in page["Aliases"]
    ]
    own = {alias["AliasName"]: alias for alias in all_of_them if not alias["AliasName"].startswith("alias/aws/")}
    assert {name: alias["TargetKeyId"] for name, alias in own.items()} == {"alias/books": other, "alias/more": world.key_id}
    assert own["alias/books"]["AliasArn"] == arn
    assert [alias["AliasName"] for alias in kms.list_aliases(KeyId=other)["Aliases"]] == ["alias/books"]
    kms.delete_alias(AliasName="alias/books")
    for call in [kms.delete_alias, lambda AliasName: kms.update_alias(AliasName=AliasName, TargetKeyId=other)]:
        with raises(kms, "NotFoundException"):
            call(AliasName="alias/books")


@step
def tags_are_stored():
    world = World()
    kms, this = world.kms, {"KeyId": world.key_id}
    kms.tag_resource(**this, Tags=[{"TagKey": f"key {n}", "TagValue": "one"} for n in range(5)])
    kms.tag_resource(**this, Tags=[{"TagKey": "key 0", "TagValue": "two"}])
    kms.untag_resource(**this, TagKeys=["key 4"])
    tags = [
        tag for page in kms.get_paginator("list_resource_tags").paginate(**this, PaginationConfig={"PageSize": 2}) for tag in page["Tags"]
    ]
    assert {tag["TagKey"]: tag["TagValue"] for tag in tags} == {"key 0": "two", "key 1": "one", "key 2": "one", "key 3": "one"}, tags
    with raises(kms, "TagException"):
        kms.tag_resource(**this, Tags=[{"TagKey": "aws:mine", "TagValue": ""}])
    with raises(kms, "LimitExceededException", "TagException"):
        kms.tag_resource(**this, Tags=[{"TagKey": f"more {n}", "TagValue": ""} for n in range(50)])


@step
def policies_are_stored():
    world = World()
    kms, this = world.kms, {"KeyId": world.key_id, "PolicyName": "default"}
    default = json.loads(kms.get_key_policy(**this)["Policy"])
    statement = default["Statement"][0]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "kms:*"), default
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{world.account}:root"}, default
    assert kms.list_key_policies(KeyId=world.key_id)["PolicyNames"] == ["default"]
    default["Statement"].append(statement | {"Sid": "second"})
    kms.put_key_policy(**this, Policy=json.dumps(default))
    assert json.loads(kms.get_key_policy(**this)["Policy"]) == default
    for broken in ["{", "[]", '{"Statement": "none"}']:
        with raises(kms, "MalformedPolicyDocumentException"):
            kms.put_key_policy(**this, Policy=broken)
    assert json.loads(kms.get_key_policy(**this)["Policy"]) == default
    with raises(kms, "NotFoundException"):
        kms.get_key_policy(KeyId=world.key_id, PolicyName="another")
    own = new_key(kms, world.store_id, "ledger", Policy=json.dumps(default))
    assert json.loads(kms.get_key_policy(KeyId=own["KeyId"], PolicyName="default")["Policy"]) == default


@step
def grants_are_stored():
    world = World()
    kms, this = world.kms, {"KeyId": world.key_id}
    grantee, retiring = (f"arn:aws:iam::{world.account}:user/{name}" for name in ["grantee", "retiring"])
    request = {**this, "GranteePrincipal": grantee, "RetiringPrincipal": retiring, "Operations": ["Encrypt", "DescribeKey"]}
    grant = kms.create_grant(**request, Name="named", Constraints={"EncryptionContextSubset": {"a": "b"}})
    assert len(grant["GrantId"]) == 64 and grant["GrantToken"], grant
    again = kms.create_grant(**request, Name="named", Constraints={"EncryptionContextSubset": {"a": "b"}})
    assert again["GrantId"] == grant["GrantId"], "the same name and parameters are the same grant"
    more = [kms.create_grant(**request)["GrantId"] for _ in range(3)]
    grants = [
        one for page in kms.get_paginator("list_grants").paginate(**this, PaginationConfig={"PageSize": 2}) for one in page["Grants"]
    ]
    assert sorted(one["GrantId"] for one in grants) == sorted([grant["GrantId"], *more]), grants
    found = kms.list_grants(**this, GrantId=grant["GrantId"])["Grants"]
    assert len(found) == 1, found
    for name, value in {
        "Name": "named", "GranteePrincipal": grantee, "RetiringPrincipal": retiring, "KeyId": world.key["Arn"],
        "Constraints": {"EncryptionContextSubset": {"a": "b"}},
    }.items():
        assert found[0][name] == value, found
    assert sorted(found[0]["Operations"]) == ["DescribeKey", "Encrypt"], found
    assert len(kms.list_grants(**this, GranteePrincipal=grantee)["Grants"]) == 4
    assert len(kms.list_retirable_grants(RetiringPrincipal=retiring)["Grants"]) == 4
    kms.revoke_grant(**this, GrantId=more[0])
    kms.retire_grant(GrantToken=kms.create_grant(**request, Name="to-retire")["GrantToken"])
    kms.retire_grant(KeyId=world.key["Arn"], GrantId=more[1])
    assert len(kms.list_grants(**this)["Grants"]) == 2
    with raises(kms, "NotFoundException", "InvalidGrantIdException"):
        kms.revoke_grant(**this, GrantId=more[0])


@step
def invalid_names_are_rejected():
    world = World()
    kms, lenient = world.kms, client(world.account, parameter_validation=False)
    elsewhere = world.key["Arn"].replace(":eu-west-1:", ":us-east-1:")
    with raises(kms, "NotFoundException", "InvalidArnException", "ValidationException"):
        kms.describe_key(KeyId=elsewhere)
    for wrong in [{"Operations": ["Fly"]}, {"Operations": []}, {"GranteePrincipal": "nobody"}, {"Name": "with blank"}]:
        request = {"KeyId": world.key_id, "GranteePrincipal": f"arn:aws:iam::{world.account}:user/a", "Operations": ["Encrypt"]}
        with raises(lenient, "ValidationException", "InvalidArnException"):
            lenient.create_grant(**request | wrong)
    assert kms.list_grants(KeyId=world.key_id)["Grants"] == []
    # These operations do not accept an alias.
    kms.create_alias(AliasName="alias/name", TargetKeyId=world.key_id)
    for call in [kms.disable_key, kms.schedule_key_deletion, kms.list_resource_tags, kms.list_grants]:
        with raises(kms, "NotFoundException", "InvalidArnException", "ValidationException"):
            call(KeyId="alias/name")


@step
def keys_do_not_rotate():
    world = World()
    with raises(world.kms, "UnsupportedOperationException"):
        world.kms.enable_key_rotation(KeyId=world.key_id)
    try:
        assert world.kms.get_key_rotation_status(KeyId=world.key_id)["KeyRotationEnabled"] is False
    except world.kms.exceptions.UnsupportedOperationException:
        pass  # both mean that the key does not rotate


@step
def keys_are_listed_in_pages():
    world = World()
    kms = world.kms
    made = {world.key_id} | {new_key(kms, world.store_id, name)["KeyId"] for name in ["ledger", "by-id"]}
    pages = list(kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1}))
    assert len(pages) >= 3
    keys = [key for page in pages for key in page["Keys"]]
    assert {key["KeyId"] for key in keys} == made, keys
    assert all(key["KeyArn"].endswith(f":key/{key['KeyId']}") for key in keys), keys
    with raises(kms, "InvalidMarkerException"):
        kms.list_keys(Marker="not one of ours")


run("keys")
