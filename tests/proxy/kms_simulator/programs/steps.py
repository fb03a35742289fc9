"""Shared code of the tests of the KMS simulator: boto3 clients of many callers, and steps that fail independently.

The facts come as JSON on standard input: `url` of the simulator, the proxy's `names`, and its `stores` by name with `path`,
`region`, `access_key_id` and `secret`.
"""

import contextlib
import functools
import http.client
import itertools
import json
import sys
import time
import traceback
import urllib.parse

import re

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# The time limit for one condition, in seconds. Even a busy machine needs much less.
PATIENCE = 120

FACTS = json.load(sys.stdin)
STEPS = []
_numbers = itertools.count(1)


def step(function):
    """Marks a function as a step. The steps of a file run in their order. They do not depend on one another."""
    STEPS.append(function)
    return function


def number():
    """Returns a number that no other call returned."""
    return next(_numbers)


def new_account():
    """Returns the id of an account that no step has used."""
    return f"{100000000000 + number()}"


@functools.cache
def _session():
    return boto3.session.Session(aws_access_key_id="unused", aws_secret_access_key="unused")


def client(account, region="eu-west-1", secret="any secret does", **config):
    """Returns a boto3 client without retries, so that a step sees every exception."""
    made = _session().client(
        "kms",
        endpoint_url=FACTS["url"],
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )
    made.meta.events.register("before-parse.kms", check_answer)
    return made


# Errors that every operation can have: the page "Common Errors" of the API reference, and errors of the protocol.
COMMON_ERRORS = {
    "AccessDeniedException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SerializationException",
    "ThrottlingException",
    "UnrecognizedClientException",
    "ValidationException",
}


def check_answer(operation_model, response_dict, **_):
    """Checks every response of every step: the service model must declare its members and errors."""
    said = json.loads(response_dict["body"])
    operation = operation_model.name
    if response_dict["status_code"] == 200:
        if operation_model.output_shape is None:
            assert said == {}, f"{operation} has no output: {said}"
        else:
            check_shape(said, operation_model.output_shape, operation)
        return
    declared = {shape.name for shape in operation_model.error_shapes}
    assert said["__type"] in declared | COMMON_ERRORS, f"{operation} does not declare {said}"


def check_shape(value, shape, where):
    """Checks that a value has only the members of the shape, with its types, enumerations, lengths and patterns."""
    kind = shape.type_name
    if kind == "structure":
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{where} has unknown members {unknown}"
        missing = set(shape.required_members) - set(value)
        assert not missing, f"{where} lacks {missing}"
        for name, member in value.items():
            check_shape(member, shape.members[name], f"{where}.{name}")
    elif kind == "list":
        for item in value:
            check_shape(item, shape.member, f"{where}[]")
    elif kind == "map":
        for key, item in value.items():
            check_shape(key, shape.key, f"{where} key")
            check_shape(item, shape.value, f"{where}.{key}")
    elif kind == "string":
        check_text(value, shape, where)
    else:
        types = {"boolean": bool, "integer": int, "long": int, "timestamp": (int, float), "blob": str}
        assert isinstance(value, types[kind]), f"{where} is not of type {kind}: {value!r}"


def check_text(value, shape, where):
    assert isinstance(value, str), f"{where} is not a string: {value!r}"
    assert not shape.enum or value in shape.enum, f"{where} is not one of {shape.enum}: {value!r}"
    assert fits(value, shape.metadata), f"{where} does not fit {dict(shape.metadata)}: {value!r}"


def fits(text, rules):
    """Returns whether a text has the length and the pattern of a shape."""
    if not rules.get("min", 0) <= len(text) <= rules.get("max", len(text)):
        return False
    return "pattern" not in rules or re.fullmatch(rules["pattern"], text, re.ASCII) is not None


@contextlib.contextmanager
def raises(kms, *names):
    """Checks that the body of the `with` statement raises one of these exceptions, with the class of the service model if there is one."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in names, f"{error} instead of {' or '.join(names)}"
        modelled = getattr(kms.exceptions, code, None) if code in dir(kms.exceptions) else None
        assert modelled is None or isinstance(error, modelled), f"{error!r} does not have the class of {code}"
        assert error.response["Error"]["Message"], f"{code} without a message"
        assert error.response["ResponseMetadata"]["RequestId"], f"{code} without a request id"
        return
    raise AssertionError(f"succeeded instead of {' or '.join(names)}")


def until(what, attempt):
    """Repeats an attempt until it returns a value."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = attempt()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"time-out: {what}")


def store_request(store="payments", name=None, endpoint=None, **changes):
    """Returns the parameters of CreateCustomKeyStore for a key store of the proxy."""
    facts = FACTS["stores"][store]
    request = {
        "CustomKeyStoreName": name or f"store {number()}",
        "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
        "XksProxyConnectivity": "PUBLIC_ENDPOINT",
        "XksProxyUriEndpoint": f"https://{endpoint or FACTS['names'][0]}",
        "XksProxyUriPath": facts["path"],
        "XksProxyAuthenticationCredential": credential(store),
    }
    return request | changes


def credential(store):
    facts = FACTS["stores"][store]
    return {"AccessKeyId": facts["access_key_id"], "RawSecretAccessKey": facts["secret"]}


def describe(kms, store_id):
    return kms.describe_custom_key_stores(CustomKeyStoreId=store_id)["CustomKeyStores"][0]


def connect(kms, store_id):
    """Connects a store and returns the resulting state and error code."""
    assert _empty(kms.connect_custom_key_store(CustomKeyStoreId=store_id))
    store = until("an end of CONNECTING", lambda: _settled(describe(kms, store_id)))
    return store["ConnectionState"], store.get("ConnectionErrorCode")


def _settled(store):
    return store if store["ConnectionState"] != "CONNECTING" else None


def _empty(answer):
    return set(answer) == {"ResponseMetadata"}


def connected_store(kms, store="payments", **changes):
    store_id = kms.create_custom_key_store(**store_request(store, **changes))["CustomKeyStoreId"]
    assert connect(kms, store_id) == ("CONNECTED", None)
    return store_id


def new_key(kms, store_id, external="orders", **more):
    """Creates a key and returns its metadata."""
    request = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store_id, "XksKeyId": external}
    return kms.create_key(**request, **more)["KeyMetadata"]


class World:
    """A new account with a connected store and a key in it."""

    def __init__(self, store="payments"):
        self.account = new_account()
        self.region = FACTS["stores"][store]["region"]
        self.kms = client(self.account, self.region)
        self.store_id = connected_store(self.kms, store)
        self.key = new_key(self.kms, self.store_id, {"retail": "stock"}.get(store, "orders"))
        self.key_id = self.key["KeyId"]

    def encrypt(self, plaintext=b"attack at dawn", **more):
        return self.kms.encrypt(KeyId=self.key_id, Plaintext=plaintext, **more)["CiphertextBlob"]

    def decrypt(self, blob, **more):
        return self.kms.decrypt(CiphertextBlob=blob, **more)["Plaintext"]


def raw(target, body, headers=None, method="POST", path="/"):
    """Sends bytes that boto3 would not send, and returns status, JSON (or text) and header fields."""
    url = urllib.parse.urlsplit(FACTS["url"])
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=PATIENCE)
    fields = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target} | (headers or {})
    connection.request(method, path, body, {name: value for name, value in fields.items() if value is not None})
    answer = connection.getresponse()
    text = answer.read()
    try:
        said = json.loads(text)
    except ValueError:
        said = {"text": text.decode(errors="replace")}
    return answer.status, said, answer.headers


def run(name):
    """Runs all steps and reports the failed ones."""
    failed = 0
    for function in STEPS:
        try:
            function()
        except Exception:  # whatever it was, the next step is another matter
            failed += 1
            print(f"FAILED: {name}.{function.__name__}: {function.__doc__ or ''}\n{traceback.format_exc()}")
    print(f"{name}: {len(STEPS) - failed} of {len(STEPS)} steps")
    sys.exit(failed > 0)
