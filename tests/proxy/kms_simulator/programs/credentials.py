"""A simulator with a credentials file: it verifies signatures, and key policies and grants are effective."""

import datetime
import json

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from steps import FACTS, client, connected_store, new_key, raw, raises, run, step

ACCOUNT, OTHER = "111122223333", "444455556666"
SECRETS = FACTS["secrets"]


def of(name, region="eu-west-1"):
    access_key_id, secret, _ = SECRETS[name]
    return client(access_key_id, region, secret)


def arn(name):
    return SECRETS[name][2]


_made = {}


def store():
    """Returns the only store of this file. Each step uses its own external key."""
    if "store" not in _made:
        _made["store"] = connected_store(of("admin"), "payments")
    return _made["store"]


def signed(name="admin", target="TrentService.ListKeys", body=b"{}", service="kms", region="eu-west-1", change=None):
    """Returns the header fields of a call that botocore has signed. `change` modifies the request before it is signed."""
    access_key_id, secret, _ = SECRETS[name]
    fields = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
    request = AWSRequest("POST", FACTS["url"] + "/", fields, body)
    SigV4Auth(Credentials(access_key_id, secret), service, region).add_auth(request)
    return dict(request.headers)


def status_and_error(headers, body="{}", target="TrentService.ListKeys"):
    status, said, _ = raw(target, body, headers)
    return status, said.get("__type", "").rpartition("#")[2]


@step
def a_valid_signature_is_accepted():
    of("admin").list_keys()
    of("admin", "ap-southeast-2").list_keys()
    assert status_and_error(signed()) == (200, "")


@step
def missing_and_wrong_signatures_are_rejected():
    assert status_and_error({}) == (400, "MissingAuthenticationTokenException")
    with raises(of("admin"), "UnrecognizedClientException"):
        client("AKIANOBODYKNOWSTHISX", secret="x" * 40).list_keys()
    with raises(of("admin"), "InvalidSignatureException"):
        client(SECRETS["admin"][0], secret="x" * 40).list_keys()
    good = signed()
    for field, value in {
        "X-Amz-Target": "TrentService.ListAliases",
        "X-Amz-Date": (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=90)).strftime("%Y%m%dT%H%M%SZ"),
    }.items():
        status, kind = status_and_error(good | {field: value})
        # botocore signs X-Amz-Target, so it cannot be changed.
        assert (status, kind) == (400, "InvalidSignatureException"), f"{field}: {status} {kind}"
    assert status_and_error(good, body='{"Limit": 1}') == (400, "InvalidSignatureException")
    # A signature for another service or Region is rejected.
    assert status_and_error(signed(service="s3"))[1] in ("InvalidSignatureException", "IncompleteSignatureException")
    scope = good["Authorization"].replace("/eu-west-1/", "/us-east-1/")
    assert status_and_error(good | {"Authorization": scope}) == (400, "InvalidSignatureException")


@step
def an_incomplete_signature_is_rejected():
    good = signed()
    for authorization in [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=",
        good["Authorization"].partition(", SignedHeaders")[0],
        good["Authorization"].partition(", Signature")[0],
        "Bearer of good news",
    ]:
        status, kind = status_and_error(good | {"Authorization": authorization})
        assert status == 400 and kind in ("IncompleteSignatureException", "MissingAuthenticationTokenException"), f"{authorization}: {kind}"
    without_date = {name: value for name, value in good.items() if name != "X-Amz-Date"}
    assert status_and_error(without_date)[1] in ("IncompleteSignatureException", "InvalidSignatureException")


@step
def an_old_signature_is_rejected():
    access_key_id, secret, _ = SECRETS["admin"]
    request = AWSRequest("POST", FACTS["url"] + "/", {"X-Amz-Target": "TrentService.ListKeys"}, b"{}")
    signer = SigV4Auth(Credentials(access_key_id, secret), "kms", "eu-west-1")
    old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    request.context["timestamp"] = old.strftime("%Y%m%dT%H%M%SZ")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    request.headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access_key_id}/{signer.credential_scope(request)}, SignedHeaders={names}, Signature={signature}"
    )
    fields = {name: value for name, value in request.headers.items()} | {"Content-Type": None}
    assert status_and_error(fields) == (400, "InvalidSignatureException")


def policy(*statements):
    """Returns a key policy with these statements, which leaves all rights to the administrator of the account."""
    rule = {"Effect": "Allow", "Principal": {"AWS": arn("admin")}, "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [rule, *statements]})


def allow(name, *actions, **more):
    return {"Effect": "Allow", "Principal": {"AWS": arn(name)}, "Action": list(actions), "Resource": "*"} | more


def crypt(name, key, context=None, **more):
    kms, more = of(name), more | ({"EncryptionContext": context} if context else {})
    blob = kms.encrypt(KeyId=key, Plaintext=b"named", **more)["CiphertextBlob"]
    return kms.decrypt(CiphertextBlob=blob, KeyId=key, **more)["Plaintext"]


@step
def the_default_policy_allows_the_account():
    key = new_key(of("admin"), store(), "orders")["Arn"]
    assert crypt("alice", key) == b"named"
    with raises(of("carol"), "AccessDeniedException"):
        crypt("carol", key)
    assert key.split(":")[4] == ACCOUNT, key
    _made["orders"] = key


@step
def key_policies_allow_and_deny_callers():
    admin, key = of("admin"), new_key(of("admin"), store(), "ledger")["Arn"]
    _made["ledger"] = key
    put = lambda *rules: admin.put_key_policy(KeyId=key, PolicyName="default", Policy=policy(*rules))
    put(allow("alice", "kms:Encrypt"))
    blob = of("alice").encrypt(KeyId=key, Plaintext=b"named")["CiphertextBlob"]
    for call in [
        lambda: of("alice").decrypt(CiphertextBlob=blob),
        lambda: of("alice").generate_data_key(KeyId=key, KeySpec="AES_256"),
        lambda: of("alice").disable_key(KeyId=key),
        lambda: of("alice").put_key_policy(KeyId=key, PolicyName="default", Policy=policy()),
        lambda: of("bob").encrypt(KeyId=key, Plaintext=b"a"),
        lambda: of("bob").describe_key(KeyId=key),
    ]:
        with raises(admin, "AccessDeniedException"):
            call()
    put(allow("alice", "kms:*"), allow("bob", "kms:Decrypt"), allow("alice", "kms:Decrypt", Effect="Deny"))
    assert of("bob").decrypt(CiphertextBlob=blob)["Plaintext"] == b"named"
    with raises(admin, "AccessDeniedException"):
        of("alice").decrypt(CiphertextBlob=blob)
    put({**allow("bob", "kms:Describe*"), "Principal": {"AWS": "*"}})
    assert of("bob").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    # carol is in another account, and the key policy names her.
    put(allow("carol", "kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"))
    assert crypt("carol", key) == b"named"
    assert of("carol").describe_key(KeyId=key)["KeyMetadata"]["AWSAccountId"] == ACCOUNT
    with raises(admin, "AccessDeniedException"):
        of("carol").disable_key(KeyId=key)


@step
def a_policy_that_locks_the_caller_out_is_rejected():
    key = new_key(of("admin"), store(), "orders")["Arn"] if "orders" not in _made else _made["orders"]
    before = of("admin").get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    only_alice = json.dumps({"Version": "2012-10-17", "Statement": [allow("alice", "kms:Encrypt")]})
    with raises(of("admin"), "MalformedPolicyDocumentException"):
        of("admin").put_key_policy(KeyId=key, PolicyName="default", Policy=only_alice)
    assert of("admin").get_key_policy(KeyId=key, PolicyName="default")["Policy"] == before
    of("admin").put_key_policy(KeyId=key, PolicyName="default", Policy=only_alice, BypassPolicyLockoutSafetyCheck=True)
    with raises(of("admin"), "AccessDeniedException"):
        of("admin").get_key_policy(KeyId=key, PolicyName="default")


@step
def re_encryption_needs_permission_for_both_keys():
    admin, key = of("admin"), new_key(of("admin"), store(), "by-id", Policy=policy())["Arn"]
    blob = admin.encrypt(KeyId=key, Plaintext=b"named")["CiphertextBlob"]
    again = lambda: of("bob").re_encrypt(CiphertextBlob=blob, DestinationKeyId=key)
    _made["by-id"] = key
    for operations, allowed in [(["ReEncryptFrom"], False), (["ReEncryptTo"], True)]:
        admin.create_grant(KeyId=key, GranteePrincipal=arn("bob"), Operations=operations)
        if allowed:
            again()
        else:
            with raises(admin, "AccessDeniedException"):
                again()
    for grant in admin.list_grants(KeyId=key)["Grants"]:
        admin.revoke_grant(KeyId=key, GrantId=grant["GrantId"])


@step
def a_grant_adds_permissions():
    admin, key = of("admin"), _made["by-id"]
    with raises(admin, "AccessDeniedException"):
        crypt("bob", key)
    grant = admin.create_grant(KeyId=key, GranteePrincipal=arn("bob"), Operations=["Encrypt", "Decrypt"])
    assert crypt("bob", key) == b"named"
    for call in [
        lambda: of("bob").generate_data_key(KeyId=key, KeySpec="AES_256"),
        lambda: of("bob").describe_key(KeyId=key),
        lambda: crypt("alice", key),
    ]:
        with raises(admin, "AccessDeniedException"):
            call()
    admin.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
    with raises(admin, "AccessDeniedException"):
        crypt("bob", key)
    equal = {"EncryptionContextEquals": {"a": "b"}}
    admin.create_grant(KeyId=key, GranteePrincipal=arn("bob"), Operations=["Encrypt", "Decrypt"], Constraints=equal)
    assert crypt("bob", key, {"a": "b"}) == b"named"
    for context in [None, {"a": "c"}, {"a": "b", "c": "d"}]:
        with raises(admin, "AccessDeniedException"):
            crypt("bob", key, context)
    subset = {"EncryptionContextSubset": {"a": "b"}}
    admin.create_grant(KeyId=key, GranteePrincipal=arn("carol"), RetiringPrincipal=arn("carol"), Operations=["Encrypt", "Decrypt"], Constraints=subset)
    assert crypt("carol", key, {"a": "b", "c": "d"}) == b"named"
    with raises(admin, "AccessDeniedException"):
        crypt("carol", key, {"c": "d"})
    found = of("carol").list_retirable_grants(RetiringPrincipal=arn("carol"))["Grants"]
    assert len(found) == 1, found
    of("carol").retire_grant(KeyId=key, GrantId=found[0]["GrantId"])
    with raises(admin, "AccessDeniedException"):
        crypt("carol", key, {"a": "b", "c": "d"})


@step
def principals_use_their_own_account():
    assert of("carol").list_keys()["Keys"] == []
    assert of("carol").describe_custom_key_stores()["CustomKeyStores"] == []
    with raises(of("carol"), "CustomKeyStoreNotFoundException"):
        of("carol").disconnect_custom_key_store(CustomKeyStoreId=store())
    assert arn("carol").split(":")[4] == OTHER


run("credentials")
