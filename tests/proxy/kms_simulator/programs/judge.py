"""What the judges of the KMS simulator share: boto3 clients of many callers, and steps of which each says by itself that it failed.

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

# The longest wait for one condition, in seconds: many times what a busy machine needs.
PATIENCE = 120

FACTS = json.load(sys.stdin)
STEPS = []
_numbers = itertools.count(1)


def step(function):
    """Marks a step. The steps of a file run in its order; each begins anew, so that one that fails spoils no other."""
    STEPS.append(function)
    return function


def number():
    """A number that no other call returned."""
    return next(_numbers)


def new_account():
    """The id of an account that nobody has used."""
    return f"{100000000000 + number()}"


@functools.cache
def _session():
    return boto3.session.Session(aws_access_key_id="unused", aws_secret_access_key="unused")


def client(account, region="eu-west-1", secret="any secret does", **config):
    """A client as a user would make it, but without boto3's own retries: an exception is the answer, not a reason to ask again."""
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


# Errors that every operation may have: the API reference's page "Common Errors", and what breaks the protocol.
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
    """Every answer of every step fits the service model: its members and errors are those that the operation declares."""
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
    """The value has only members of the shape, of its types, enumerations, lengths and patterns."""
    kind = shape.type_name
    if kind == "structure":
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{where} has no {unknown}"
        missing = set(shape.required_members) - set(value)
        assert not missing, f"{where} needs {missing}"
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
        assert isinstance(value, types[kind]), f"{where} is no {kind}: {value!r}"


def check_text(value, shape, where):
    assert isinstance(value, str), f"{where} is not a string: {value!r}"
    assert not shape.enum or value in shape.enum, f"{where} is none of {shape.enum}: {value!r}"
    assert fits(value, shape.metadata), f"{where} is not {dict(shape.metadata)}: {value!r}"


def fits(text, rules):
    """Whether a text has the length and the pattern of a shape."""
    if not rules.get("min", 0) <= len(text) <= rules.get("max", len(text)):
        return False
    return "pattern" not in rules or re.fullmatch(rules["pattern"], text, re.ASCII) is not None


@contextlib.contextmanager
def refused(kms, *names):
    """What happens inside must be refused with one of these exceptions; one of KMS's own must be modelled as such."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in names, f"{error} instead of {' or '.join(names)}"
        modelled = getattr(kms.exceptions, code, None) if code in dir(kms.exceptions) else None
        assert modelled is None or isinstance(error, modelled), f"{error!r} is no {code}"
        assert error.response["Error"]["Message"], f"{code} without a message"
        assert error.response["ResponseMetadata"]["RequestId"], f"{code} without a request id"
        return
    raise AssertionError(f"answered, instead of {' or '.join(names)}")


def until(what, attempt):
    """Asks until there is an answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = attempt()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"never happened: {what}")


def store_request(store="payments", name=None, endpoint=None, **changes):
    """The request of CreateCustomKeyStore for a store of the proxy's."""
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
    """Connects, and returns what it came to: the state and the error code."""
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
    """The metadata of a new key."""
    request = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store_id, "XksKeyId": external}
    return kms.create_key(**request, **more)["KeyMetadata"]


class World:
    """An account of its own, with a connected store and a key in it."""

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
    """An answer to bytes that boto3 would not send: status, JSON (or text), header fields."""
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
    """Runs all steps and says which failed."""
    failed = 0
    for function in STEPS:
        try:
            function()
        except Exception:  # whatever it was, the next step is another matter
            failed += 1
            print(f"FAILED: {name}.{function.__name__}: {function.__doc__ or ''}\n{traceback.format_exc()}")
    print(f"{name}: {len(STEPS) - failed} of {len(STEPS)} steps")
    sys.exit(failed > 0)
