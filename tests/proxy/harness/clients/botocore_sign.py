"""Signs a POST with botocore, a signer that the proxy's authors did not write.

Arguments: URL, region, access key id, secret access key. The body comes on standard input; the signed header fields go to
standard output as one JSON object.
"""

import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def main():
    url, region, access_key_id, secret = sys.argv[1:]
    fields = {"Content-Type": "application/json"}
    request = AWSRequest("POST", url, fields, sys.stdin.buffer.read())
    SigV4Auth(Credentials(access_key_id, secret), "kms-xks-proxy", region).add_auth(request)
    json.dump(dict(request.headers), sys.stdout)


main()
