"""The state of a simulator after a restart. `write` creates the state and writes a note about it, `check` reads the note."""

import base64
import json
import sys

from steps import FACTS, client, connect, connected_store, describe, new_key, run, step

ACCOUNTS = ["777700000001", "777700000002"]
mode, note = sys.argv[1:]


def write():
    kept = []
    for account in ACCOUNTS:
        kms = client(account)
        store_id = connected_store(kms)
        key = new_key(kms, store_id, "orders", Description="kept", Tags=[{"TagKey": "a", "TagValue": "b"}])
        this = {"KeyId": key["KeyId"]}
        kms.create_alias(AliasName="alias/kept", TargetKeyId=key["KeyId"])
        kms.create_grant(**this, GranteePrincipal=f"arn:aws:iam::{account}:user/a", Operations=["Encrypt"], Name="kept")
        policy = json.loads(kms.get_key_policy(**this, PolicyName="default")["Policy"]) | {"Id": "kept"}
        kms.put_key_policy(**this, PolicyName="default", Policy=json.dumps(policy))
        off, doomed = (new_key(kms, store_id, name)["KeyId"] for name in ["ledger", "by-id"])
        blobs = [kms.encrypt(KeyId=key, Plaintext=b"kept", EncryptionContext={"a": "b"})["CiphertextBlob"] for key in [key["KeyId"], off, doomed]]
        kms.disable_key(KeyId=off)
        kms.schedule_key_deletion(KeyId=doomed, PendingWindowInDays=7)
        data_key = kms.generate_data_key(**this, KeySpec="AES_256")
        kept.append({
            "account": account, "store": store_id, "keys": [key["KeyId"], off, doomed],
            "blobs": [base64.b64encode(blob).decode() for blob in blobs],
            "data_key": [base64.b64encode(data_key[part]).decode() for part in ("CiphertextBlob", "Plaintext")],
        })
    with open(note, "w") as file:
        json.dump(kept, file)


@step
def the_state_is_complete():
    with open(note) as file:
        kept = json.load(file)
    for one in kept:
        check(one)


def check(one):
    kms = client(one["account"])
    store = describe(kms, one["store"])
    assert store["XksProxyConfiguration"]["UriPath"] == FACTS["stores"]["payments"]["path"], store
    if store["ConnectionState"] != "CONNECTED":
        assert connect(kms, one["store"]) == ("CONNECTED", None)
    states = [kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] for key in one["keys"]]
    assert states == ["Enabled", "Disabled", "PendingDeletion"], states
    key, off, doomed = one["keys"]
    kms.enable_key(KeyId=off)
    kms.cancel_key_deletion(KeyId=doomed)
    kms.enable_key(KeyId=doomed)
    for blob in one["blobs"]:
        answer = kms.decrypt(CiphertextBlob=base64.b64decode(blob), EncryptionContext={"a": "b"})
        assert answer["Plaintext"] == b"kept", answer
    blob, plaintext = (base64.b64decode(part) for part in one["data_key"])
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext
    metadata = kms.describe_key(KeyId="alias/kept")["KeyMetadata"]
    assert (metadata["KeyId"], metadata["Description"]) == (key, "kept"), metadata
    assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "a", "TagValue": "b"}]
    assert [grant["Name"] for grant in kms.list_grants(KeyId=key)["Grants"]] == ["kept"]
    assert json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])["Id"] == "kept"
    # Restore the state for the next check.
    kms.disable_key(KeyId=off)
    kms.schedule_key_deletion(KeyId=doomed, PendingWindowInDays=7)


if mode == "write":
    write()
else:
    run("state")
