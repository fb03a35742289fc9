"""Tests all operations of the service model of boto3. Each response must have the members and errors that the model declares, and texts
must be accepted exactly if they have the patterns of the model. `steps.check_answer` checks each response."""

import random

from botocore.exceptions import ClientError

from steps import FACTS, World, client, connect, fits, new_account, new_key, raises, run, step, store_request

NO_KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
NO_STORE = "cks-1234567890abcdef0"
VALUES = {
    "AliasName": "alias/of-the-model",
    "CustomKeyStoreName": "of the model",
    "CustomKeyStoreId": NO_STORE,
    "GranteePrincipal": "arn:aws:iam::111122223333:user/a",
    "RetiringPrincipal": "arn:aws:iam::111122223333:user/a",
    "Policy": '{"Version": "2012-10-17", "Statement": []}',
    "NumberOfBytes": 8,
    "PrimaryRegion": "us-east-1",
    "ReplicaRegion": "us-east-1",
}


def value_of(shape, name):
    """Returns a valid value of a shape."""
    if name in VALUES:
        return VALUES[name]
    if shape.type_name == "structure":
        return {name: value_of(shape.members[name], name) for name in shape.required_members}
    if shape.type_name == "list":
        return [value_of(shape.member, name)]
    if shape.type_name == "string":
        return shape.enum[0] if shape.enum else "a" * max(1, shape.metadata.get("min", 1))
    if shape.type_name == "integer":
        return max(8, shape.metadata.get("min", 8))
    return {"blob": b"blob", "boolean": True, "map": {"a": "b"}, "timestamp": 2_000_000_000}[shape.type_name]


def operations(kms):
    model = kms.meta.service_model
    return [model.operation_model(name) for name in model.operation_names]


def error_of(kms, operation, request):
    """Calls an operation and returns the name of the error, or none. `steps.check_answer` checks the response."""
    try:
        kms._make_api_call(operation.name, request)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def requests(operation, keys, stores):
    """Returns requests for each key and store: with the required members only, and with each optional member."""
    shape = operation.input_shape
    members = shape.members if shape else {}
    required = {name: value_of(members[name], name) for name in (shape.required_members if shape else [])}
    yield required
    for name in members:
        yield required | {name: value_of(members[name], name)}
    for member, values in {"KeyId": keys, "DestinationKeyId": keys, "TargetKeyId": keys, "CustomKeyStoreId": stores}.items():
        if member in members:
            for value in values:
                yield required | {member: value}


@step
def every_operation_responds_as_the_model_declares():
    world = World()
    kms, gone = world.kms, World()
    disabled, pending = (new_key(kms, world.store_id, name)["KeyId"] for name in ["ledger", "by-id"])
    gone.kms.disconnect_custom_key_store(CustomKeyStoreId=gone.store_id)
    kms.disable_key(KeyId=disabled)
    kms.schedule_key_deletion(KeyId=pending)
    codes = {}
    for caller, keys, stores in [
        (kms, [disabled, pending, NO_KEY, "alias/none", "arn:aws:kms:eu-west-1:111122223333:key/" + NO_KEY, "arn:nonsense"], [NO_STORE]),
        (gone.kms, [gone.key_id], [gone.store_id]),
        (kms, [world.key_id], [world.store_id]),
    ]:
        for operation in operations(caller):
            for request in requests(operation, keys, stores):
                codes.setdefault(operation.name, set()).add(error_of(caller, operation, request))
    unknown = {name for name, found in codes.items() if "UnknownOperationException" in found}
    assert not unknown and len(codes) >= 56, f"not known: {unknown}, {len(codes)} operations"


@step
def invalid_values_cause_no_internal_error():
    kms = client(new_account(), parameter_validation=False)
    for operation in operations(kms):
        shape = operation.input_shape
        for name, member in (shape.members if shape else {}).items():
            required = {other: value_of(shape.members[other], other) for other in shape.required_members}
            wrong = {"string": ["", "\u0000", "a" * 200_000], "integer": [-1, 10**12], "list": [[]]}.get(member.type_name, [])
            for value in wrong:
                code = error_of(kms, operation, required | {name: value})
                assert code not in ("KMSInternalException", "UnknownOperationException"), f"{operation.name} {name}: {code}"


GOOD = {
    ("UpdateCustomKeyStore", "XksProxyUriEndpoint"): ["https://proxy-1.example.com", "https://ab"],
    ("UpdateCustomKeyStore", "XksProxyUriPath"): ["/kms/xks/v1", "/a_b-C/9/kms/xks/v12", "/kms/xks/v1/kms/xks/v2"],
    ("UpdateCustomKeyStore", "XksProxyVpcEndpointServiceName"): [
        "com.amazonaws.vpce.us-gov-west-1.vpce-svc-0123456789abcdef0",
        "eu.amazonaws.vpce.eusc-de-east-1.vpce-svc-0a",
        "cn.com.amazonaws.vpce.cn-north-1.vpce-svc-0a",
    ],
    ("UpdateCustomKeyStore", "XksProxyVpcEndpointServiceOwner"): ["111122223333"],
    ("UpdateCustomKeyStore", "XksProxyAuthenticationCredential", "AccessKeyId"): ["ABCDEFGHIJKLMNOPQ234"],
    ("UpdateCustomKeyStore", "XksProxyAuthenticationCredential", "RawSecretAccessKey"): ["aA0/+=" * 8],
    ("CreateKey", "XksKeyId"): ["a", "key-1_a.b"],
    ("CreateGrant", "GranteeServicePrincipal"): ["s3.amazonaws.com", "logs.eu-west-1.amazonaws.com.cn"],
    ("CreateGrant", "Constraints", "SourceArn"): ["arn:aws:s3:eu-west-1:111122223333:bucket/a", "arn:aws-cn:logs::111122223333:*"],
}
BESIDES = {
    "UpdateCustomKeyStore": {"CustomKeyStoreId": NO_STORE},
    "CreateKey": {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": NO_STORE},
    "CreateGrant": {
        "KeyId": NO_KEY,
        "Operations": ["Encrypt"],
        "RetiringServicePrincipal": "s3.amazonaws.com",
        "GranteeServicePrincipal": "s3.amazonaws.com",
        "Constraints": {"SourceArn": "arn:aws:s3:eu-west-1:111122223333:bucket/a"},
    },
    "AccessKeyId": {"RawSecretAccessKey": "a" * 43},
    "RawSecretAccessKey": {"AccessKeyId": "A" * 20},
}


def variants(text, dice):
    """Returns the text and small changes of it."""
    yield text
    yield text + "\n"
    for at in sorted(dice.sample(range(len(text)), min(12, len(text)))):
        yield text[:at] + text[at + 1 :]
        yield text[:at] + dice.choice("Aa0_-./: \u00e4+=1") + text[at + 1 :]
        yield text[:at] + text[at] + text[at:]
    for length in [0, 1, 9, 10, 11, 12, 13, 19, 20, 30, 31, 42, 43, 64, 65, 127, 128, 129, 512, 513]:
        yield (text * (length // len(text) + 1))[:length]


@step
def texts_are_accepted_if_they_match_their_patterns():
    """The requests name a store or key that does not exist. A valid text fails because of that, an invalid text with a ValidationException."""
    kms, dice = client(new_account(), parameter_validation=False), random.Random(15)
    for (operation, *path), texts in GOOD.items():
        model = kms.meta.service_model.operation_model(operation)
        shape = model.input_shape
        for name in path:
            shape = shape.members[name]
        for text in (variant for good in texts for variant in variants(good, dice)):
            value = {path[-1]: text}
            if len(path) == 2:
                value = {path[0]: BESIDES.get(path[1], {}) | value}
            code = error_of(kms, model, BESIDES[operation] | value)
            absent = "NotFoundException" if operation == "CreateGrant" else "CustomKeyStoreNotFoundException"
            expected = absent if fits(text, shape.metadata) else "ValidationException"
            assert code == expected, f"{operation} {path} {text!r}: {code} instead of {expected}"


@step
def the_owner_of_an_endpoint_service_is_stored():
    account, other = new_account(), "999988887777"
    kms = client(account)
    name = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0"
    vpc = {"XksProxyConnectivity": "VPC_ENDPOINT_SERVICE", "XksProxyVpcEndpointServiceName": name}

    def owner(store_id):
        store = kms.describe_custom_key_stores(CustomKeyStoreId=store_id)["CustomKeyStores"][0]
        return store["XksProxyConfiguration"].get("VpcEndpointServiceOwner")

    store_id = kms.create_custom_key_store(**store_request(**vpc))["CustomKeyStoreId"]
    this = {"CustomKeyStoreId": store_id}
    assert owner(store_id) == account, "the caller's account by default"
    kms.update_custom_key_store(**this, XksProxyVpcEndpointServiceOwner=other)
    kms.update_custom_key_store(**this, NewCustomKeyStoreName="renamed")
    assert owner(store_id) == other, "not given, not changed"
    assert connect(kms, store_id) == ("CONNECTED", None)
    with raises(kms, "CustomKeyStoreInvalidStateException"):
        kms.update_custom_key_store(**this, XksProxyVpcEndpointServiceOwner=account)
    kms.disconnect_custom_key_store(**this)
    kms.update_custom_key_store(**this, XksProxyConnectivity="PUBLIC_ENDPOINT")
    assert owner(store_id) is None, "a public endpoint has no service"
    kms.update_custom_key_store(**this, **vpc)
    assert owner(store_id) == account
    with raises(kms, "ValidationException"):
        request = store_request(endpoint=FACTS["names"][1], XksProxyVpcEndpointServiceOwner=other)
        kms.create_custom_key_store(**request)
    elsewhere = vpc | {"XksProxyVpcEndpointServiceName": name.replace("eu-west-1", "eu-west-2")}
    with raises(kms, "XksProxyVpcEndpointServiceNotFoundException"):
        kms.create_custom_key_store(**store_request(endpoint=FACTS["names"][1], **elsewhere))


@step
def the_last_usage_of_a_key_is_recorded():
    world = World()
    kms, this = world.kms, {"KeyId": world.key_id}
    fresh = kms.get_key_last_usage(**this)
    assert fresh["KeyLastUsage"] == {} and fresh["KeyId"] == world.key["Arn"], fresh
    assert fresh["KeyCreationDate"] == world.key["CreationDate"] == fresh["TrackingStartDate"], fresh
    blob = world.encrypt()
    # A failed call does not count as usage.
    with raises(kms, "KMSInvalidStateException"):
        world.decrypt(blob, EncryptionContext={"a": "b"})
    with raises(kms, "DryRunOperationException"):
        kms.decrypt(CiphertextBlob=blob, DryRun=True)
    assert kms.get_key_last_usage(**this)["KeyLastUsage"]["Operation"] == "Encrypt"
    other = new_key(kms, world.store_id, "ledger")["KeyId"]
    answer = kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other)
    usages = [kms.get_key_last_usage(KeyId=key)["KeyLastUsage"] for key in [world.key_id, other]]
    assert usages[0] == usages[1] and usages[0]["Operation"] == "ReEncrypt", usages
    assert usages[0]["KmsRequestId"] == answer["ResponseMetadata"]["RequestId"], usages
    assert len(usages[0]["CloudTrailEventId"]) == 36, usages
    kms.create_alias(AliasName="alias/used", TargetKeyId=world.key_id)
    with raises(kms, "InvalidArnException"):
        kms.get_key_last_usage(KeyId="alias/used")
    with raises(kms, "NotFoundException"):
        client(new_account()).get_key_last_usage(KeyId=world.key["Arn"])


@step
def services_use_grants_for_their_resources():
    world = World()
    kms, this = world.kms, {"KeyId": world.key_id, "Operations": ["Decrypt"]}
    source = {"Constraints": {"SourceArn": "arn:aws:s3:eu-west-1:111122223333:bucket/a"}}
    service, arn = "s3.amazonaws.com", f"arn:aws:iam::{world.account}:user/a"
    for wrong in [
        {},
        {"GranteePrincipal": arn, "GranteeServicePrincipal": service, **source},
        {"GranteeServicePrincipal": service, **source},
        {"GranteeServicePrincipal": service, "RetiringPrincipal": arn},
        {"GranteePrincipal": arn, "RetiringPrincipal": arn, "RetiringServicePrincipal": service},
    ]:
        with raises(kms, "ValidationException"):
            kms.create_grant(**this, **wrong)
    kms.create_grant(**this, GranteeServicePrincipal=service, RetiringServicePrincipal=service, **source)
    kms.create_grant(**this, GranteePrincipal=arn, RetiringServicePrincipal=service)
    grants = kms.list_grants(KeyId=world.key_id, GranteeServicePrincipal=service)["Grants"]
    assert len(grants) == 1, grants
    assert grants[0]["GranteeServicePrincipal"] == grants[0]["RetiringServicePrincipal"] == service, grants
    assert "GranteePrincipal" not in grants[0] and "RetiringPrincipal" not in grants[0], grants
    assert grants[0]["Constraints"] == source["Constraints"], grants
    assert len(kms.list_grants(KeyId=world.key_id, GranteePrincipal=arn)["Grants"]) == 1
    # Other callers cannot list the grants of a service.
    assert kms.list_retirable_grants(RetiringServicePrincipal=service)["Grants"] == []
    with raises(kms, "ValidationException"):
        kms.list_retirable_grants(RetiringPrincipal=arn, RetiringServicePrincipal=service)
    with raises(kms, "ValidationException"):
        kms.list_retirable_grants()


@step
def a_dry_run_can_ignore_the_ciphertext():
    world = World()
    kms, ignore = world.kms, {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    with raises(kms, "DryRunOperationException"):
        kms.decrypt(KeyId=world.key_id, **ignore)
    with raises(kms, "DryRunOperationException"):
        kms.re_encrypt(SourceKeyId=world.key_id, DestinationKeyId=world.key_id, **ignore)
    for call, request in [
        (kms.decrypt, ignore),
        (kms.decrypt, {"KeyId": world.key_id, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}),
        (kms.decrypt, {"KeyId": world.key_id, "DryRun": True}),
        (kms.re_encrypt, ignore | {"DestinationKeyId": world.key_id}),
    ]:
        with raises(kms, "ValidationException"):
            call(**request)
    kms.disable_key(KeyId=world.key_id)
    with raises(kms, "DisabledException"):
        kms.decrypt(KeyId=world.key_id, **ignore)


@step
def external_stores_do_not_generate_random_bytes():
    world = World()
    assert len(world.kms.generate_random(NumberOfBytes=32)["Plaintext"]) == 32
    with raises(world.kms, "UnsupportedOperationException"):
        world.kms.generate_random(NumberOfBytes=32, CustomKeyStoreId=world.store_id)
    with raises(world.kms, "CustomKeyStoreNotFoundException"):
        world.kms.generate_random(NumberOfBytes=32, CustomKeyStoreId=NO_STORE)


@step
def responses_have_no_key_material_id():
    world = World()
    blob = world.encrypt()
    for answer in [
        world.kms.decrypt(CiphertextBlob=blob),
        world.kms.generate_data_key(KeyId=world.key_id, KeySpec="AES_256"),
        world.kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=world.key_id),
    ]:
        assert not [name for name in answer if "KeyMaterialId" in name], answer


run("model")
