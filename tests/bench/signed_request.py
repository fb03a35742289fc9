#!/usr/bin/env python3
"""Writes one signed XKS request as the bytes of an HTTP/1.1 request, for tests/bench/run to send again and again.

A signature is good for five minutes, so one request serves a whole phase. For `decrypt` the ciphertext is first asked for
from the running proxy. Standard library only; the secret comes from a file and goes nowhere.
"""

import argparse
import base64
import datetime
import hashlib
import hmac
import http.client
import json
import pathlib
import ssl

SERVICE = "kms-xks-proxy"
PLAINTEXT = bytes(range(32))
AAD = b"a" * 200
METADATA = {
    "awsPrincipalArn": "arn:aws:sts::111122223333:assumed-role/payments/i-0123456789abcdef0",
    "kmsKeyArn": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
    "kmsViaService": "ebs.us-east-1.amazonaws.com",
}


def base64_text(value):
    return base64.b64encode(value).decode()


def health_body(_arguments):
    return {"requestMetadata": {"kmsRequestId": METADATA["kmsRequestId"], "kmsOperation": "KmsHealthCheck"}}


def encrypt_body(_arguments):
    return {
        "requestMetadata": METADATA | {"kmsOperation": "Encrypt"},
        "plaintext": base64_text(PLAINTEXT),
        "encryptionAlgorithm": "AES_GCM",
        "additionalAuthenticatedData": base64_text(AAD),
    }


def encrypt_cdiv_body(arguments):
    return encrypt_body(arguments) | {"ciphertextDataIntegrityValueAlgorithm": "SHA_256"}


def decrypt_body(arguments):
    answer = json.loads(send(arguments, request(arguments, "encrypt", encrypt_body(arguments))))
    return {
        "requestMetadata": METADATA | {"kmsOperation": "Decrypt"},
        "ciphertext": answer["ciphertext"],
        "initializationVector": answer["initializationVector"],
        "authenticationTag": answer["authenticationTag"],
        "ciphertextMetadata": answer["ciphertextMetadata"],
        "encryptionAlgorithm": "AES_GCM",
        "additionalAuthenticatedData": base64_text(AAD),
    }


OPERATIONS = {
    "health": ("health", health_body),
    "encrypt": ("encrypt", encrypt_body),
    "encrypt-cdiv": ("encrypt", encrypt_cdiv_body),
    "decrypt": ("decrypt", decrypt_body),
}


def hmac_sha256(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signing_key(secret, scope):
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac_sha256(key, part)
    return key


def authorization(arguments, path, headers, body):
    """Signature Version 4 over all of the headers, in the order of their names."""
    access_key_id, secret = arguments.credential.read_text().strip().split(":")
    date = headers["x-amz-date"]
    scope = f"{date[:8]}/{arguments.region}/{SERVICE}/aws4_request"
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"POST\n{path}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac_sha256(signing_key(secret, scope), to_sign).hex()
    return f"AWS4-HMAC-SHA256 Credential={access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"


def request(arguments, method, value):
    """The path, headers and body of a signed call."""
    resource = "health" if method == "health" else f"keys/{arguments.key}/{method}"
    path = f"{arguments.prefix}/kms/xks/v1/{resource}"
    body = json.dumps(value, separators=(",", ":")).encode()
    headers = {
        "content-type": "application/json",
        "host": f"localhost:{arguments.port}",
        "x-amz-date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ"),
    }
    headers["authorization"] = authorization(arguments, path, headers, body)
    headers["content-length"] = str(len(body))
    return path, headers, body


def send(arguments, signed):
    path, headers, body = signed
    context = ssl.create_default_context(cafile=arguments.ca)
    connection = http.client.HTTPSConnection("localhost", arguments.port, context=context, timeout=10)
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise SystemExit(f"signed_request.py: the proxy returned {response.status}: {answer.decode()}")
    return answer


def http_bytes(signed):
    path, headers, body = signed
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def main():
    parser = argparse.ArgumentParser(description="Writes one signed XKS request as the bytes of an HTTP/1.1 request.")
    parser.add_argument("operation", choices=OPERATIONS)
    parser.add_argument("--port", type=int, required=True, help="of the proxy on localhost")
    parser.add_argument("--prefix", default="", help="path prefix of the key store")
    parser.add_argument("--key", required=True, help="external key id")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--credential", type=pathlib.Path, required=True, help="a file: ACCESS_KEY_ID:SECRET")
    parser.add_argument("--ca", required=True, help="PEM file, CA of the proxy's certificate")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    arguments = parser.parse_args()

    method, body = OPERATIONS[arguments.operation]
    signed = request(arguments, method, body(arguments))
    send(arguments, signed)  # fails before the measurement unless the response is a 200
    arguments.output.write_bytes(http_bytes(signed))


if __name__ == "__main__":
    main()
