"""Custom key stores with boto3."""

from steps import (
    FACTS, World, client, connect, connected_store, credential, describe, new_account, new_key, raises, run, step, store_request,
)


@step
def a_store_is_created_disconnected_and_described():
    kms = client(new_account())
    request = store_request(name="first")
    store_id = kms.create_custom_key_store(**request)["CustomKeyStoreId"]
    assert store_id.startswith("cks-"), store_id
    store = describe(kms, store_id)
    assert store["CustomKeyStoreName"] == "first"
    assert store["CustomKeyStoreType"] == "EXTERNAL_KEY_STORE"
    assert store["ConnectionState"] == "DISCONNECTED"
    assert "ConnectionErrorCode" not in store
    assert store["CreationDate"].year > 2020
    assert store["XksProxyConfiguration"] == {
        "Connectivity": "PUBLIC_ENDPOINT",
        "AccessKeyId": FACTS["stores"]["payments"]["access_key_id"],
        "UriEndpoint": request["XksProxyUriEndpoint"],
        "UriPath": request["XksProxyUriPath"],
    }, store
    by_name = kms.describe_custom_key_stores(CustomKeyStoreName="first")["CustomKeyStores"]
    assert [found["CustomKeyStoreId"] for found in by_name] == [store_id]


@step
def an_unusable_store_is_not_created():
    kms = client(new_account())
    wrong = credential("payments") | {"RawSecretAccessKey": "w" * 43}
    with raises(kms, "XksProxyIncorrectAuthenticationCredentialException"):
        kms.create_custom_key_store(**store_request(XksProxyAuthenticationCredential=wrong))
    with raises(kms, "XksProxyInvalidConfigurationException"):
        kms.create_custom_key_store(**store_request(XksProxyUriPath="/nobody/kms/xks/v1"))
    with raises(kms, "XksProxyUriUnreachableException"):
        kms.create_custom_key_store(**store_request(endpoint=FACTS["nobody"]))
    # The proxy has this store in another Region.
    with raises(kms, "XksProxyIncorrectAuthenticationCredentialException"):
        kms.create_custom_key_store(**store_request("retail"))
    assert kms.describe_custom_key_stores()["CustomKeyStores"] == []


@step
def names_and_endpoints_are_unique():
    kms = client(new_account())
    kms.create_custom_key_store(**store_request(name="one"))
    with raises(kms, "CustomKeyStoreNameInUseException"):
        kms.create_custom_key_store(**store_request("root", name="one"))
    with raises(kms, "XksProxyUriInUseException"):
        kms.create_custom_key_store(**store_request())
    other = kms.create_custom_key_store(**store_request(endpoint=FACTS["names"][1]))["CustomKeyStoreId"]
    with raises(kms, "CustomKeyStoreNameInUseException"):
        kms.update_custom_key_store(CustomKeyStoreId=other, NewCustomKeyStoreName="one")
    # Names are unique within an account only.
    client(new_account()).create_custom_key_store(**store_request(name="one"))


@step
def an_account_has_at_most_ten_stores():
    kms = client(new_account())
    for name in FACTS["names"][:10]:
        kms.create_custom_key_store(**store_request(endpoint=name))
    with raises(kms, "LimitExceededException"):
        kms.create_custom_key_store(**store_request(endpoint=FACTS["names"][10]))
    found = [
        store["CustomKeyStoreId"]
        for page in kms.get_paginator("describe_custom_key_stores").paginate(PaginationConfig={"PageSize": 3})
        for store in page["CustomKeyStores"]
    ]
    assert len(set(found)) == len(found) == 10, found
    kms.delete_custom_key_store(CustomKeyStoreId=found[0])
    kms.create_custom_key_store(**store_request(endpoint=FACTS["names"][10]))


@step
def only_a_connected_store_can_be_used():
    world = World()
    kms, store_id = world.kms, world.store_id
    blob = world.encrypt()
    # Connecting a connected store succeeds.
    assert connect(kms, store_id) == ("CONNECTED", None)
    kms.disconnect_custom_key_store(CustomKeyStoreId=store_id)
    assert describe(kms, store_id)["ConnectionState"] == "DISCONNECTED"
    with raises(kms, "CustomKeyStoreInvalidStateException"):
        kms.disconnect_custom_key_store(CustomKeyStoreId=store_id)
    with raises(kms, "KMSInvalidStateException"):
        world.encrypt()
    with raises(kms, "KMSInvalidStateException"):
        world.decrypt(blob)
    with raises(kms, "CustomKeyStoreInvalidStateException"):
        new_key(kms, store_id, "ledger")
    assert kms.describe_key(KeyId=world.key_id)["KeyMetadata"]["KeyState"] == "Unavailable"
    assert connect(kms, store_id) == ("CONNECTED", None)
    assert kms.describe_key(KeyId=world.key_id)["KeyMetadata"]["KeyState"] == "Enabled"
    assert world.decrypt(blob) == b"attack at dawn"


@step
def a_failed_store_must_be_disconnected():
    kms = client(new_account())
    wrong = credential("payments") | {"RawSecretAccessKey": "w" * 43}
    vpc = {
        "XksProxyConnectivity": "VPC_ENDPOINT_SERVICE",
        "XksProxyVpcEndpointServiceName": "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0",
        "XksProxyAuthenticationCredential": wrong,
    }
    # KMS calls the proxy of a store with VPC connectivity only when it connects.
    store_id = kms.create_custom_key_store(**store_request(**vpc))["CustomKeyStoreId"]
    assert connect(kms, store_id) == ("FAILED", "INVALID_CREDENTIALS")
    with raises(kms, "CustomKeyStoreInvalidStateException"):
        kms.connect_custom_key_store(CustomKeyStoreId=store_id)
    kms.disconnect_custom_key_store(CustomKeyStoreId=store_id)
    assert "ConnectionErrorCode" not in describe(kms, store_id)
    kms.update_custom_key_store(
        CustomKeyStoreId=store_id, XksProxyAuthenticationCredential=credential("payments")
    )
    assert connect(kms, store_id) == ("CONNECTED", None)
    configuration = describe(kms, store_id)["XksProxyConfiguration"]
    assert configuration["VpcEndpointServiceName"] == vpc["XksProxyVpcEndpointServiceName"], configuration


@step
def permitted_updates_depend_on_the_state():
    world = World()
    kms, this = world.kms, {"CustomKeyStoreId": world.store_id}
    kms.update_custom_key_store(**this, NewCustomKeyStoreName="renamed")
    kms.update_custom_key_store(**this, XksProxyAuthenticationCredential=credential("payments-next"))
    assert world.decrypt(world.encrypt()) == b"attack at dawn"
    wrong = credential("payments") | {"RawSecretAccessKey": "w" * 43}
    with raises(kms, "XksProxyIncorrectAuthenticationCredentialException"):
        kms.update_custom_key_store(**this, XksProxyAuthenticationCredential=wrong)
    with raises(kms, "XksProxyInvalidConfigurationException"):
        kms.update_custom_key_store(**this, XksProxyUriPath="/nobody/kms/xks/v1")
    # The rejected updates have changed nothing.
    assert world.decrypt(world.encrypt()) == b"attack at dawn"
    endpoint = f"https://{FACTS['names'][2]}"
    vpc = {"XksProxyConnectivity": "VPC_ENDPOINT_SERVICE", "XksProxyVpcEndpointServiceName": "com.amazonaws.vpce.eu-west-1.vpce-svc-0a"}
    for change in [{"XksProxyUriEndpoint": endpoint}, vpc]:
        with raises(kms, "CustomKeyStoreInvalidStateException"):
            kms.update_custom_key_store(**this, **change)
    kms.disconnect_custom_key_store(**this)
    kms.update_custom_key_store(**this, XksProxyUriEndpoint=endpoint)
    assert connect(kms, world.store_id) == ("CONNECTED", None)
    store = describe(kms, world.store_id)
    assert store["CustomKeyStoreName"] == "renamed"
    assert store["XksProxyConfiguration"]["UriEndpoint"] == endpoint
    assert store["XksProxyConfiguration"]["AccessKeyId"] == FACTS["stores"]["payments-next"]["access_key_id"]
    assert world.decrypt(world.encrypt()) == b"attack at dawn"


@step
def only_an_empty_disconnected_store_can_be_deleted():
    world = World()
    kms, this = world.kms, {"CustomKeyStoreId": world.store_id}
    # The store violates both rules. AWS does not document which one is checked first.
    with raises(kms, "CustomKeyStoreInvalidStateException", "CustomKeyStoreHasCMKsException"):
        kms.delete_custom_key_store(**this)
    kms.disconnect_custom_key_store(**this)
    with raises(kms, "CustomKeyStoreHasCMKsException"):
        kms.delete_custom_key_store(**this)
    empty = connected_store(kms, endpoint=FACTS["names"][1])
    with raises(kms, "CustomKeyStoreInvalidStateException"):
        kms.delete_custom_key_store(CustomKeyStoreId=empty)
    kms.disconnect_custom_key_store(CustomKeyStoreId=empty)
    kms.delete_custom_key_store(CustomKeyStoreId=empty)
    with raises(kms, "CustomKeyStoreNotFoundException"):
        describe(kms, empty)


@step
def a_missing_store_is_not_found():
    kms, this = client(new_account()), {"CustomKeyStoreId": "cks-1234567890abcdef0"}
    for call in [
        kms.describe_custom_key_stores, kms.connect_custom_key_store, kms.disconnect_custom_key_store, kms.delete_custom_key_store,
    ]:
        with raises(kms, "CustomKeyStoreNotFoundException"):
            call(**this)
    with raises(kms, "CustomKeyStoreNotFoundException"):
        kms.update_custom_key_store(**this, NewCustomKeyStoreName="renamed")
    with raises(kms, "CustomKeyStoreNotFoundException"):
        kms.describe_custom_key_stores(CustomKeyStoreName="nobody")
    with raises(kms, "CustomKeyStoreNotFoundException"):
        new_key(kms, "cks-1234567890abcdef0")


@step
def invalid_parameters_are_rejected():
    kms = client(new_account(), parameter_validation=False)
    broken = credential("payments") | {"AccessKeyId": "short"}
    for change in [
        {"XksProxyUriEndpoint": f"http://{FACTS['names'][0]}"},
        {"XksProxyUriEndpoint": f"https://{FACTS['names'][0]}:8443"},
        {"XksProxyUriPath": "/payments"},
        {"XksProxyUriPath": "payments/kms/xks/v1"},
        {"XksProxyAuthenticationCredential": broken},
        {"XksProxyConnectivity": "CARRIER_PIGEON"},
        {"CustomKeyStoreName": ""},
    ]:
        with raises(kms, "ValidationException"):
            kms.create_custom_key_store(**store_request() | change)


run("stores")
