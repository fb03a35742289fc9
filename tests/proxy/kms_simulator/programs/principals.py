"""A simulator with a principals file: identity policies, tags of principals, conditions, and grants."""

import datetime
import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from steps import FACTS, client, connected_store, new_key, raises, run, step

ACCOUNT, OTHER = "111122223333", "444455556666"
SECRETS = FACTS["secrets"]


def of(name, region="eu-west-1"):
    access_key_id, secret, _ = SECRETS[name]
    return client(access_key_id, region, secret)


def arn(name):
    return SECRETS[name][2]


ROOT = f"arn:aws:iam::{ACCOUNT}:root"
_made = {}


def store():
    if "store" not in _made:
        _made["store"] = connected_store(of("admin"), "payments")
    return _made["store"]


def key(external="orders"):
    """Returns the KMS key of an external key. Each step puts its policy as the root user, who may do everything."""
    if external not in _made:
        _made[external] = new_key(of("admin"), store(), external)["Arn"]
    return _made[external]


def statement(effect, principal, actions="kms:*", **more):
    return {"Effect": effect, "Principal": principal, "Action": actions, "Resource": "*"} | more


DELEGATION = statement("Allow", {"AWS": ROOT})
ADMINISTRATION = statement("Allow", {"AWS": [ROOT, arn("admin")]}, ["kms:PutKeyPolicy", "kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"])


def put(*statements, external="orders"):
    """Puts a key policy with these statements, which leaves the administration of the key to the administrator."""
    document = {"Version": "2012-10-17", "Statement": [ADMINISTRATION, *statements]}
    of("admin").put_key_policy(KeyId=key(external), PolicyName="default", Policy=json.dumps(document))
    return key(external)


def encrypt(name, key_id, context=None):
    more = {"EncryptionContext": context} if context else {}
    return of(name).encrypt(KeyId=key_id, Plaintext=b"named", **more)["CiphertextBlob"]


def denied(call, *words):
    """Checks that a call is denied with a message that has these words."""
    try:
        call()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDeniedException", error
        assert all(word in str(error) for word in words), f"{error} instead of {words}"
        return
    raise AssertionError("allowed")


@step
def actions_without_a_key_need_an_identity_policy():
    of("admin").list_keys()
    of("root").list_keys()
    no_policy = "no identity-based policy allows the kms:"
    nobody = of("nobody")
    denied(lambda: nobody.list_keys(), no_policy + "ListKeys")
    denied(lambda: nobody.describe_custom_key_stores(), no_policy)
    denied(lambda: nobody.disconnect_custom_key_store(CustomKeyStoreId=store()), no_policy)
    denied(lambda: nobody.generate_random(NumberOfBytes=1), no_policy)
    denied(lambda: new_key(nobody, store(), "ledger"), no_policy + "CreateKey")
    denied(lambda: nobody.create_alias(AliasName="alias/nobody", TargetKeyId=key()), no_policy + "CreateAlias")


@step
def an_identity_policy_needs_a_key_policy_that_allows_the_account():
    put(DELEGATION)
    encrypt("alice", key())
    denied(lambda: encrypt("nobody", key()), "no identity-based policy allows the kms:Encrypt action")
    put()
    denied(lambda: encrypt("alice", key()), "no resource-based policy allows the kms:Encrypt action")
    put(statement("Allow", {"AWS": arn("nobody")}, "kms:Encrypt"))
    encrypt("nobody", key())
    denied(lambda: encrypt("alice", key()))


@step
def another_account_needs_both_policies():
    put(statement("Allow", {"AWS": OTHER}, "kms:Encrypt"))
    encrypt("carol", key())
    denied(lambda: encrypt("dave", key()), "no identity-based policy")
    put(statement("Allow", {"AWS": [arn("carol"), arn("dave")]}, "kms:Encrypt"))
    encrypt("carol", key())
    denied(lambda: encrypt("dave", key()), "no identity-based policy")
    put()
    denied(lambda: encrypt("carol", key()), "no resource-based policy")
    denied(lambda: of("carol").put_key_policy(KeyId=key(), PolicyName="default", Policy="{}"))


@step
def a_deny_in_either_policy_overrides_an_allow():
    put(DELEGATION, statement("Allow", {"AWS": arn("eve")}))
    blob = encrypt("eve", key())
    denied(lambda: of("eve").decrypt(CiphertextBlob=blob), "explicit deny in an identity-based policy")
    grant = of("admin").create_grant(KeyId=key(), GranteePrincipal=arn("eve"), Operations=["Decrypt"])
    denied(lambda: of("eve").decrypt(CiphertextBlob=blob), "explicit deny in an identity-based policy")
    of("admin").revoke_grant(KeyId=key(), GrantId=grant["GrantId"])
    put(DELEGATION, statement("Deny", "*", "kms:Encrypt"))
    denied(lambda: encrypt("alice", key()), "explicit deny in a resource-based policy")
    denied(lambda: encrypt("root", key()), "explicit deny in a resource-based policy")


@step
def tags_of_the_principal_and_of_the_key_control_access():
    """Attribute-based access control: the policy of developers allows keys with the tag of the same team."""
    put(DELEGATION)
    admin = of("admin")
    denied(lambda: encrypt("developer", key()))
    admin.tag_resource(KeyId=key(), Tags=[{"TagKey": "team", "TagValue": "ledger"}])
    denied(lambda: encrypt("developer", key()))
    admin.tag_resource(KeyId=key(), Tags=[{"TagKey": "team", "TagValue": "payments"}])
    encrypt("developer", key())
    denied(lambda: of("developer").untag_resource(KeyId=key(), TagKeys=["team"]))
    admin.untag_resource(KeyId=key(), TagKeys=["team"])
    denied(lambda: encrypt("developer", key()))


@step
def aliases_control_access():
    put(DELEGATION)
    admin = of("admin")
    denied(lambda: encrypt("session", key()))
    admin.create_alias(AliasName="alias/app-orders", TargetKeyId=key())
    encrypt("session", key())
    # kms:RequestAlias is the alias in the request only.
    put(DELEGATION, statement("Deny", {"AWS": arn("session")}, "kms:Encrypt", Condition={"StringNotEquals": {"kms:RequestAlias": "alias/app-orders"}}))
    encrypt("session", "alias/app-orders")
    denied(lambda: encrypt("session", key()), "explicit deny")
    admin.delete_alias(AliasName="alias/app-orders")
    put(DELEGATION)
    denied(lambda: encrypt("session", key()))
    # CreateAlias needs permission for the alias, too.
    denied(lambda: of("alice").create_alias(AliasName="alias/alice", TargetKeyId=key()), "alias/alice")


@step
def conditions_use_properties_of_the_request():
    alice = {"AWS": arn("alice")}
    for condition, good, bad in [
        ({"StringEquals": {"kms:EncryptionContext:purpose": "test"}}, ("alice", {"purpose": "test"}), ("alice", {"purpose": "Test"})),
        ({"Null": {"kms:EncryptionContext:purpose": "false"}}, ("alice", {"purpose": "x"}), ("alice", None)),
        ({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": "purpose"}}, ("alice", {"purpose": "x"}), ("alice", {"Purpose": "x"})),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}, ("alice", {"a": "1"}), ("alice", {"a": "1", "c": "1"})),
        ({"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}, ("alice-by-s3", None), ("alice", None)),
        ({"StringEquals": {"aws:SourceVpce": "vpce-0123456789abcdef0"}}, ("alice-in-vpc", None), ("alice", None)),
        ({"IpAddress": {"aws:SourceIp": ["127.0.0.0/8", "::1"]}}, ("alice", None), ("alice-in-vpc", None)),
        ({"StringEquals": {"kms:CallerAccount": ACCOUNT}, "Bool": {"aws:SecureTransport": "true"}}, ("alice", None), None),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/alice"}, "DateGreaterThan": {"aws:CurrentTime": "2020-01-01"}}, ("alice", None), None),
        ({"Bool": {"aws:SecureTransport": "false"}}, None, ("alice", None)),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, None, ("alice", None)),
        ({"StringEquals": {"aws:PrincipalAccount": OTHER}}, None, ("alice", None)),
    ]:
        put(statement("Allow", alice, "kms:Encrypt", Condition=condition))
        try:
            if good:
                encrypt(good[0], key(), good[1])
            if bad:
                denied(lambda: encrypt(bad[0], key(), bad[1]))
        except Exception as error:
            raise AssertionError(f"{condition}: {error}") from error


@step
def conditions_use_requested_grants_and_tags():
    alice = {"AWS": arn("alice")}
    grant = lambda *operations, grantee="bob", **more: of("alice").create_grant(
        KeyId=key(), GranteePrincipal=arn(grantee), Operations=list(operations), **more
    )
    conditions = {"ForAllValues:StringEquals": {"kms:GrantOperations": ["Encrypt", "Decrypt"]}, "ArnEquals": {"kms:GranteePrincipal": arn("bob")}}
    put(statement("Allow", alice, "kms:CreateGrant", Condition=conditions))
    made = [grant("Encrypt"), grant("Encrypt", "Decrypt")]
    denied(lambda: grant("Encrypt", "DescribeKey"))
    denied(lambda: grant("Encrypt", grantee="nobody"))
    put(statement("Allow", alice, "kms:CreateGrant", Condition={"StringEquals": {"kms:GrantConstraintType": "EncryptionContextEquals"}}))
    made.append(grant("Encrypt", Constraints={"EncryptionContextEquals": {"a": "b"}}))
    denied(lambda: grant("Encrypt", Constraints={"EncryptionContextSubset": {"a": "b"}}))
    denied(lambda: grant("Encrypt"))
    put(statement("Allow", alice, "kms:CreateGrant", Condition={"Bool": {"kms:GrantIsForAWSResource": "true"}}))
    denied(lambda: grant("Encrypt"))
    made.append(of("alice-by-s3").create_grant(KeyId=key(), GranteePrincipal=arn("bob"), Operations=["Encrypt"]))
    for one in made:
        of("admin").revoke_grant(KeyId=key(), GrantId=one["GrantId"])
    tag = lambda name, value: of("alice").tag_resource(KeyId=key(), Tags=[{"TagKey": name, "TagValue": value}])
    conditions = {"StringEquals": {"aws:RequestTag/team": ["a", "b"]}, "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}
    put(statement("Allow", alice, "kms:TagResource", Condition=conditions))
    tag("team", "a")
    denied(lambda: tag("team", "c"))
    denied(lambda: tag("cost", "a"))
    days = {"NumericGreaterThanEquals": {"kms:ScheduleKeyDeletionPendingWindowInDays": "14"}}
    put(statement("Allow", {"AWS": arn("nobody")}, "kms:ScheduleKeyDeletion", Condition=days), DELEGATION)
    denied(lambda: of("nobody").schedule_key_deletion(KeyId=key(), PendingWindowInDays=13))
    of("nobody").schedule_key_deletion(KeyId=key(), PendingWindowInDays=14)
    of("root").cancel_key_deletion(KeyId=key())
    of("root").enable_key(KeyId=key())


@step
def new_keys_need_permission_for_their_tags():
    """The creator may create keys only with the tag `cost`, and may tag only keys of the account."""
    with_tags = lambda *tags: new_key(of("creator"), store(), "ledger", Tags=[{"TagKey": name, "TagValue": "1"} for name in tags])
    denied(lambda: new_key(of("creator"), store(), "ledger"))
    denied(lambda: with_tags("cost", "team"))
    denied(lambda: new_key(of("untagger"), store(), "ledger", Tags=[{"TagKey": "cost", "TagValue": "1"}]), "kms:TagResource")
    _made["ledger"] = with_tags("cost")["Arn"]


@step
def a_service_is_a_principal():
    dynamodb = {"Service": "dynamodb.amazonaws.com"}
    put(statement("Allow", dynamodb, "kms:Encrypt", Condition={"ArnLike": {"aws:SourceArn": f"arn:aws:dynamodb:*:{ACCOUNT}:table/*"}}))
    encrypt("service", key())
    denied(lambda: encrypt("alice", key()))
    put(statement("Allow", dynamodb, "kms:Encrypt", Condition={"ArnLike": {"aws:SourceArn": f"arn:aws:dynamodb:*:{OTHER}:table/*"}}))
    denied(lambda: encrypt("service", key()))
    put(statement("Allow", "*", "kms:Encrypt", Condition={"Bool": {"aws:PrincipalIsAWSService": "true"}}))
    encrypt("service", key())
    denied(lambda: encrypt("alice", key()))


@step
def a_service_has_a_grant_for_its_resource():
    put()
    admin, service = of("admin"), arn("service")
    table = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/t"
    grant = lambda name, source, **more: of(name).create_grant(
        KeyId=key(),
        GranteeServicePrincipal=more.pop("grantee", service),
        RetiringServicePrincipal=service,
        Operations=more.pop("operations", ["Encrypt"]),
        Constraints={"SourceArn": source},
        **more,
    )
    denied(lambda: grant("alice", table), "no identity-based policy allows the kms:CreateGrant action")
    denied(lambda: encrypt("service", key()))
    grant("admin", table + "-2")
    grant("admin", table, grantee="s3.amazonaws.com")
    denied(lambda: encrypt("service", key()))
    token = grant("admin", table)["GrantToken"]
    encrypt("service", key())
    denied(lambda: of("service").describe_key(KeyId=key()))
    denied(lambda: of("service").create_grant(KeyId=key(), GranteePrincipal=arn("bob"), Operations=["Encrypt"]))
    # A service has no identity policy.
    denied(lambda: of("service").list_retirable_grants(RetiringServicePrincipal=service), "no identity-based policy")
    denied(lambda: of("alice").retire_grant(GrantToken=token))
    of("service").retire_grant(GrantToken=token)
    denied(lambda: encrypt("service", key()))
    # A grant that the service creates with its own grant must be for the same resource.
    grant("admin", table, operations=["CreateGrant", "Encrypt"])
    denied(lambda: grant("service", table + "-2"))
    grant("service", table)
    # The service is the value of kms:GranteePrincipal.
    put(statement("Allow", {"AWS": arn("alice")}, "kms:CreateGrant", Condition={"StringEquals": {"kms:GranteePrincipal": service}}))
    grant("alice", table)
    denied(lambda: grant("alice", table, grantee="s3.amazonaws.com"))
    for one in admin.list_grants(KeyId=key())["Grants"]:
        admin.revoke_grant(KeyId=key(), GrantId=one["GrantId"])


@step
def the_last_usage_of_a_key_needs_permission():
    put(statement("Allow", {"AWS": arn("bob")}, "kms:GetKeyLastUsage"))
    assert of("bob").get_key_last_usage(KeyId=key())["KeyId"] == key()
    denied(lambda: of("alice").get_key_last_usage(KeyId=key()), "kms:GetKeyLastUsage")


@step
def metrics_need_an_identity_policy_for_cloudwatch():
    def cloudwatch(name):
        access_key_id, secret, _ = SECRETS[name]
        return boto3.client(
            "cloudwatch",
            endpoint_url=FACTS["url"],
            region_name="eu-west-1",
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}),
        )

    now = datetime.datetime.now(datetime.timezone.utc)
    data = lambda name: cloudwatch(name).get_metric_data(MetricDataQueries=[], StartTime=now - datetime.timedelta(hours=1), EndTime=now)
    cloudwatch("root").list_metrics(Namespace="AWS/KMS")
    cloudwatch("watcher").list_metrics(Namespace="AWS/KMS")
    denied(lambda: data("watcher"), "no identity-based policy allows the cloudwatch:GetMetricData action")
    # kms:* does not include actions of CloudWatch.
    denied(lambda: data("admin"), "cloudwatch:GetMetricData")
    denied(lambda: cloudwatch("admin").list_metrics(), "cloudwatch:ListMetrics")


@step
def grants_to_accounts_need_identity_policies():
    put()
    admin = of("admin")
    made = admin.create_grant(KeyId=key(), GranteePrincipal=f"arn:aws:iam::{OTHER}:root", Operations=["Encrypt"])
    encrypt("carol", key())
    denied(lambda: encrypt("dave", key()), "no identity-based policy")
    admin.revoke_grant(KeyId=key(), GrantId=made["GrantId"])
    made = admin.create_grant(KeyId=key(), GranteePrincipal=arn("dave"), Operations=["Encrypt"])
    encrypt("dave", key())
    admin.revoke_grant(KeyId=key(), GrantId=made["GrantId"])


@step
def a_grant_cannot_create_a_wider_grant():
    put()
    admin, key_id = of("admin"), key()
    subset = lambda **pairs: {"EncryptionContextSubset": pairs}
    admin.create_grant(KeyId=key_id, GranteePrincipal=arn("bob"), Operations=["CreateGrant", "Encrypt"], Constraints=subset(a="1"))
    child = lambda *operations, **more: of("bob").create_grant(KeyId=key_id, GranteePrincipal=arn("nobody"), Operations=list(operations), **more)
    denied(lambda: child("Encrypt"))
    denied(lambda: child("Encrypt", Constraints=subset(a="2")))
    denied(lambda: child("Encrypt", "Decrypt", Constraints=subset(a="1")))
    child("Encrypt", Constraints=subset(a="1", b="2"))
    encrypt("nobody", key_id, {"a": "1", "b": "2"})
    denied(lambda: encrypt("nobody", key_id, {"a": "1"}))
    for grant in admin.list_grants(KeyId=key_id)["Grants"]:
        admin.revoke_grant(KeyId=key_id, GrantId=grant["GrantId"])


@step
def grants_are_retired_by_permitted_callers():
    put()
    admin, key_id = of("admin"), key()
    grant = lambda operations=("Encrypt",), **more: admin.create_grant(
        KeyId=key_id, GranteePrincipal=arn("nobody"), Operations=list(operations), **more
    )["GrantToken"]
    retire = lambda name, token: of(name).retire_grant(GrantToken=token)
    token = grant(RetiringPrincipal=arn("bob"))
    for name in ["nobody", "alice", "carol", "eve"]:
        denied(lambda: retire(name, token))
    retire("bob", token)
    retire("nobody", grant(["Encrypt", "RetireGrant"]))
    token = grant(RetiringPrincipal=f"arn:aws:iam::{OTHER}:root")
    denied(lambda: retire("dave", token))
    retire("carol", token)
    token = grant()
    denied(lambda: retire("alice", token))
    put(DELEGATION)
    retire("admin", token)
    # A Deny of an identity policy overrides the grant.
    token = grant(RetiringPrincipal=arn("eve"))
    denied(lambda: retire("eve", token))
    retire("root", token)


@step
def unsupported_policies_are_rejected():
    good = of("admin").get_key_policy(KeyId=put(DELEGATION), PolicyName="default")["Policy"]
    for wrong in [
        {"Condition": {"StringMatches": {"kms:ViaService": "a"}}},
        {"Condition": {"StringEquals": {"aws:MultiFactorAuthAge": "1"}}},
        {"Condition": {"StringEquals": {"kms:GrantOperations": "Encrypt"}}},
        {"Condition": {"NumericEquals": {"aws:SourceIp": "1"}}},
        {"Principal": {"Federated": "cognito-identity.amazonaws.com"}},
        {"Principal": {"AWS": "alice"}},
        {"Action": "Encrypt"},
        {"NotAction": "kms:Encrypt"},
        {"Whatever": 1},
    ]:
        document = json.dumps({"Version": "2012-10-17", "Statement": [ADMINISTRATION, statement("Allow", "*") | wrong]})
        with raises(of("admin"), "MalformedPolicyDocumentException"):
            of("admin").put_key_policy(KeyId=key(), PolicyName="default", Policy=document)
        with raises(of("admin"), "MalformedPolicyDocumentException"):
            new_key(of("admin"), store(), "by-id", Policy=document)
    assert of("admin").get_key_policy(KeyId=key(), PolicyName="default")["Policy"] == good


run("principals")
